import { isIP } from 'node:net';

/** What a text in the environment means, or what it must be: the end of a sentence that begins with the variable's name. */
export type Parsed<T> = { readonly value: T } | { readonly must: string };

export function whole(min: number, max: number): (text: string) => Parsed<number> {
  return (text) => {
    const value = /^\d{1,15}$/.test(text) ? Number(text) : Number.NaN;
    return value >= min && value <= max
      ? { value }
      : { must: `must be a whole number from ${min} to ${max}` };
  };
}

/** A file or folder. */
export function path(text: string): Parsed<string> {
  return text.includes('\0') ? { must: 'must be a path' } : { value: text };
}

export function host(text: string): Parsed<string> {
  return /^[A-Za-z0-9.:_%-]{1,255}$/.test(text)
    ? { value: text }
    : { must: 'must be a host name or an IP address, without scheme, brackets or port' };
}

export function networks(text: string): Parsed<readonly string[]> {
  const value = text.split(',').map((one) => one.trim());
  return value.every(isNetwork)
    ? { value }
    : { must: 'must list addresses or networks such as 10.0.0.0/8,192.0.2.7,fd00::/8' };
}

function isNetwork(text: string): boolean {
  const [, address = '', prefix] = /^([^/]*)(?:\/(\d{1,3}))?$/.exec(text) ?? [];
  const family = isIP(address);
  return family !== 0 && Number(prefix ?? 0) <= (family === 4 ? 32 : 128);
}

/** What can stand in a header and, as the user of Basic authentication, before a colon. */
export function key(text: string): Parsed<string> {
  return /^[!-9;-~]{16,256}$/.test(text)
    ? { value: text }
    : { must: 'must have 16 to 256 characters: visible ASCII without white space or colons' };
}

/** Several hosts may be listed with commas, which a URL cannot hold: each is checked. */
export function postgresUrl(text: string): Parsed<string> {
  const [, scheme = '', user = '', hosts = '', rest = ''] =
    /^(postgres(?:ql)?:\/\/)([^/?#]*@)?([^/?#]*)([/?#].*)?$/.exec(text) ?? [];
  const sound = scheme !== '' && hosts.split(',').every((one) => URL.canParse(scheme + user + one + rest));
  return sound ? { value: text } : { must: 'must be a URL like postgres://user:password@host:5432/database' };
}

/** Single characters to insert, delete or replace to get from one text to the other (Levenshtein). */
export function editDistance(from: string, to: string): number {
  let row = Array.from({ length: to.length + 1 }, (_, column) => column);
  for (let i = 0; i < from.length; i += 1) {
    const next = [i + 1];
    for (let j = 0; j < to.length; j += 1) {
      const replace = (row[j] ?? 0) + (from[i] === to[j] ? 0 : 1);
      next.push(Math.min(replace, (row[j + 1] ?? 0) + 1, (next[j] ?? 0) + 1));
    }
    row = next;
  }
  return row[to.length] ?? 0;
}
