import type { ClientIpMode } from '@tidemark/core/wire';
import type { Sql } from './database.ts';

/** A stream that asks for something about the requests that bring its events. */
export interface AskingStream {
  readonly stream: string;
  readonly clientIp: ClientIpMode;
  readonly userAgent: boolean;
}

/** It is another one when anything has changed that collectors keep in memory: streams that ask, and schemas. */
export async function readSettingsVersion(sql: Sql): Promise<bigint> {
  const [row] = await sql<[{ version: bigint }]>`select version from tidemark.settings`;
  return row.version;
}

export async function readAsking(sql: Sql): Promise<readonly AskingStream[]> {
  const rows = await sql<{ name: string; client_ip: ClientIpMode; user_agent: boolean }[]>`
    select name, client_ip, user_agent from tidemark.streams where client_ip <> 'never' or user_agent`;
  return rows.map((row) => ({ stream: row.name, clientIp: row.client_ip, userAgent: row.user_agent }));
}
