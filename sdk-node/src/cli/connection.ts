import { Pool } from 'undici';
import { type Ask, askPatiently, wholeWhere } from '../ask.ts';
import { createSenses } from '../platform.ts';
import type { ReadParts } from '../read.ts';
import { type Invocation, text, textOf, UsageError } from './command.ts';

/** The options of every command. */
export const connectionOptions = { url: text, key: text } as const;

export const connectionHelp = `  --url <url>          the collector; else TIDEMARK_URL, else http://127.0.0.1:8787
  --key <key>          its key; else TIDEMARK_KEY, else the TIDEMARK_…_KEY of the role`;

export type Role = 'read' | 'write';

/** A collector as commands use it. To be closed. */
export interface Connection {
  readonly parts: ReadParts;
  /** An answer within half a minute. */
  ask(ask: Ask): Promise<object>;
  close(): Promise<void>;
}

const answerMsMax = 30_000;

/** Says on stderr when the collector keeps us waiting, once until it answers again. */
export function connect({ values, environment, stderr, stop }: Invocation, role: Role): Connection {
  const address = textOf(values, 'url') ?? environment['TIDEMARK_URL'] ?? 'http://127.0.0.1:8787';
  if (!URL.canParse(address) || !/^https?:/.test(address))
    throw new UsageError(`--url must begin with http:// or https://, not ${address}`);
  const url = new URL(address);
  const key =
    textOf(values, 'key') ??
    environment['TIDEMARK_KEY'] ??
    environment[`TIDEMARK_${role.toUpperCase()}_KEY`] ??
    environment['TIDEMARK_ADMIN_KEY'];
  if (key === undefined) throw new UsageError(`a ${role} key is needed: --key or TIDEMARK_KEY`);
  const pool = new Pool(url.origin, { maxResponseSize: 64 * 1_048_576 });
  let told = false;
  const parts: ReadParts = {
    pool,
    prefix: url.pathname.replace(/\/+$/, ''),
    authorization: `Bearer ${key}`,
    platform: createSenses(),
    requestTimeoutMs: 10_000,
    closed: stop,
    onDelay(status) {
      if (told) return;
      told = true;
      const why = status === undefined ? 'does not answer' : `answers ${status}`;
      stderr.write(`tidemark: ${url.origin} ${why}: waiting for it\n`).catch(() => {});
    },
  };
  return {
    parts,
    async ask(ask) {
      const soon = AbortSignal.any([stop, AbortSignal.timeout(answerMsMax)]);
      const answer = await askPatiently(
        parts,
        ask,
        soon,
        wholeWhere<object>(() => true),
      );
      if (answer === undefined)
        throw new Error(`${url.origin} did not answer within ${answerMsMax / 1_000} s`);
      return answer;
    },
    close: () => pool.destroy(),
  };
}
