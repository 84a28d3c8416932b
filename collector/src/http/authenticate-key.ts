import { hash } from 'node:crypto';

export type Role = 'write' | 'read' | 'admin';

/** A new key, to be shown once, and the hash that is stored in its place. */
export function createKey(role: Role, randomBytes: (count: number) => Buffer): { key: string; hash: Buffer } {
  const key = `tm_${role}_${randomBytes(32).toString('base64url')}`;
  return { key, hash: hashKey(key) };
}

/**
 * SHA-256. Keys are 32 random bytes, or a text of the operator's with at least 16 characters: they are not guessed one by one, and
 * a slow hash for every request would be a weapon against us.
 */
export function hashKey(key: string): Buffer {
  return Buffer.from(hexHashOf(key), 'hex');
}

/** The same hash in hexadecimal digits. */
export function hexHashOf(key: string): string {
  return hash('sha256', key, 'hex');
}

/** What an HTTP request is asked for; Hono's `context.req` has it. */
export interface Presented {
  header(name: string): string | undefined;
  query(name: string): string | undefined;
}

/**
 * The key of a request: from `Authorization: Bearer`, from Basic with the key as the user and no password, as the clients of others send
 * it, or from `?key=`, which costs no preflight.
 */
export function presentedKey(request: Presented): string | undefined {
  const authorization = request.header('authorization');
  if (authorization !== undefined) {
    const [, scheme, credentials = ''] = /^ *(bearer|basic) +(\S+) *$/i.exec(authorization) ?? [];
    if (scheme?.toLowerCase() === 'bearer') return credentials;
    if (scheme?.toLowerCase() === 'basic') {
      const [user = ''] = Buffer.from(credentials, 'base64').toString('latin1').split(':', 1);
      if (user !== '') return user;
    }
  }
  return request.query('key') || undefined;
}
