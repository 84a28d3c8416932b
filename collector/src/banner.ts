import type { Role } from './http/authenticate-key.ts';

export interface BannerFacts {
  readonly scheme: 'http' | 'https';
  readonly host: string;
  readonly port: number;
  /** Keys made just now: they are shown this once. */
  readonly made: ReadonlyMap<Role, string>;
  /** Where the data is. */
  readonly data: string;
}

/** What a start prints: the address, the keys, where the data is, and two lines to paste. */
export function banner({ scheme, host, port, made, data }: BannerFacts): string {
  const shownHost =
    host === '0.0.0.0' || host === '::' ? 'localhost' : host.includes(':') ? `[${host}]` : host;
  const url = `${scheme}://${shownHost}:${port}`;
  const key = (role: Role) => made.get(role) ?? `$TIDEMARK_${role.toUpperCase()}_KEY`;
  const keys =
    made.size === 0
      ? '  keys     as set in the environment, or as shown on the first start\n'
      : keyLines(made);
  return `
Tidemark collects events.

  address  ${url}
  data     ${data}
${keys}
Send an event:

  curl -X POST ${url}/v1/events -H 'Authorization: Bearer ${key('write')}' -H 'Content-Type: application/json' -d '{"events":[{"name":"hello.world","props":{"first":true}}]}'

Read it back (an event can be read once its stream has waited 5 s for stragglers):

  curl '${url}/v1/streams/default/events?wait=30' -H 'Authorization: Bearer ${key('read')}'

`.replaceAll(/'(Authorization: Bearer \$\w+)'/g, '"$1"');
}

/** Keys that were made just now, or nothing. */
export function keyLines(made: ReadonlyMap<Role, string>): string {
  if (made.size === 0) return '';
  const lines = [...made].map(([role, text]) => `           ${role.padEnd(6)} ${text}\n`);
  return `  keys     shown only now, so keep them:\n${lines.join('')}`;
}
