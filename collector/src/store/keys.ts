import { and, asc, desc, eq, isNull, sql } from 'drizzle-orm';
import type { Database } from './database.ts';
import { keys } from './schema.ts';

export type Role = 'write' | 'read' | 'admin';

export interface StoredKey {
  readonly keyId: string;
  readonly hash: Buffer;
  readonly role: Role;
  readonly streams: readonly string[] | null;
  readonly defaultStream: string | null;
  readonly origins: readonly string[] | null;
  readonly eventsPerSecond: number | null;
  readonly bytesPerSecond: number | null;
  readonly revokedAt: bigint | null;
}

/** A key that is about to be stored. What is left out has no limit. */
export interface NewKey {
  readonly hash: Buffer;
  readonly role: Role;
  readonly streams?: readonly string[];
  readonly defaultStream?: string;
  readonly origins?: readonly string[];
  readonly eventsPerSecond?: number;
  readonly bytesPerSecond?: number;
}

/** A key as it is listed. Times are microseconds. */
export interface ListedKey extends Omit<StoredKey, 'hash'> {
  readonly createdAt: bigint;
}

export interface Keys {
  find(hash: Buffer): Promise<StoredKey | undefined>;
  /** Stores a key and answers with its id. */
  add(key: NewKey): Promise<string>;
  /** In the order in which they were made, revoked ones too, from the one after the key `after` on. */
  list(after: string | undefined, limit: number): Promise<readonly ListedKey[]>;
  /** Changes when a key is made or revoked. */
  fingerprint(): Promise<string>;
  /** Keys that work, the newest first. */
  working(limit: number): Promise<readonly StoredKey[]>;
  /** When the key ended: now, or before; undefined: there is no such key. */
  revoke(keyId: string): Promise<bigint | undefined>;
  /** Stores these if no key is stored that works; false if there is one. Of collectors that start at once, one does it. */
  addFirst(keys: readonly { readonly hash: Buffer; readonly role: Role }[]): Promise<boolean>;
}

/** The form of a key's id. */
export const keyIdPattern = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

const listed = {
  keyId: keys.keyId,
  role: keys.role,
  streams: keys.streams,
  defaultStream: keys.defaultStream,
  origins: keys.origins,
  eventsPerSecond: keys.eventsPerSecond,
  bytesPerSecond: keys.bytesPerSecond,
  revokedAt: keys.revokedAt,
  createdAt: keys.createdAt,
};

const columns = { ...listed, hash: keys.hash };

export function createKeys({ query }: Pick<Database, 'query'>): Keys {
  return {
    async find(hash) {
      const [key] = await query.select(columns).from(keys).where(eq(keys.hash, hash));
      return key?.revokedAt === null ? key : undefined;
    },
    async add({ streams, origins, ...key }) {
      const row = {
        ...key,
        streams: streams === undefined ? null : [...streams],
        origins: origins === undefined ? null : [...origins],
      };
      const [added] = await query.insert(keys).values(row).returning({ keyId: keys.keyId });
      if (added === undefined) throw new Error('Postgres gave no id for a new key');
      return added.keyId;
    },
    list(after, limit) {
      const place = sql`(select k.created_at, k.key_id from tidemark.keys k where k.key_id = ${after})`;
      return query
        .select(listed)
        .from(keys)
        .where(after === undefined ? undefined : sql`(${keys.createdAt}, ${keys.keyId}) > ${place}`)
        .orderBy(asc(keys.createdAt), asc(keys.keyId))
        .limit(limit);
    },
    async fingerprint() {
      const [row] = await query
        .select({
          text: sql<string>`concat_ws(' ', count(*), max(${keys.createdAt}), count(${keys.revokedAt}), max(${keys.revokedAt}))`,
        })
        .from(keys);
      return row?.text ?? '';
    },
    working(limit) {
      return query
        .select(columns)
        .from(keys)
        .where(isNull(keys.revokedAt))
        .orderBy(desc(keys.createdAt))
        .limit(limit);
    },
    async revoke(keyId) {
      await query
        .update(keys)
        .set({ revokedAt: sql`tidemark.clock()` })
        .where(and(eq(keys.keyId, keyId), isNull(keys.revokedAt)));
      const [key] = await query.select({ revokedAt: keys.revokedAt }).from(keys).where(eq(keys.keyId, keyId));
      return key?.revokedAt ?? undefined;
    },
    addFirst(first) {
      return query.transaction(async (transaction) => {
        await transaction.execute(sql`select pg_advisory_xact_lock(1953064293, 2)`);
        if ((await transaction.$count(keys, isNull(keys.revokedAt))) > 0) return false;
        await transaction.insert(keys).values([...first]);
        return true;
      });
    },
  };
}
