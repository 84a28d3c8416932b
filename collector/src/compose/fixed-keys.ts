import type { Config } from '../config.ts';
import type { KeyRecord } from '../http/authenticate.ts';
import { hashKey, type Role } from '../http/authenticate-key.ts';

/** Keys fixed by configuration come first and are not stored; the others are in the database. */
export function withFixedKeys(
  config: Config,
  findStored: (hash: Buffer) => Promise<KeyRecord | undefined>,
): (hash: Buffer) => Promise<KeyRecord | undefined> {
  const fixed = new Map<string, KeyRecord>();
  const roles: readonly (readonly [Role, string | undefined])[] = [
    ['write', config.writeKey],
    ['read', config.readKey],
    ['admin', config.adminKey],
  ];
  for (const [role, key] of roles) {
    if (key === undefined) continue;
    const hash = hashKey(key);
    fixed.set(hash.toString('hex'), { ...unrestricted, keyId: `environment-${role}`, role, hash });
  }
  return async (hash) => fixed.get(hash.toString('hex')) ?? findStored(hash);
}

const unrestricted = {
  streams: null,
  defaultStream: null,
  origins: null,
  eventsPerSecond: null,
  bytesPerSecond: null,
};
