import type { SchemaMode } from '@tidemark/core/wire';
import { and, asc, eq, gt, not, sql } from 'drizzle-orm';
import type { Database, Sql } from './database.ts';
import { schemas, streams } from './schema.ts';

/** A schema as it is listed. Times are microseconds. */
export interface StoredSchema {
  readonly schemaId: bigint;
  readonly name: string;
  readonly mode: SchemaMode;
  readonly schema: object;
  readonly changedAt: bigint;
  /** Events that it did not allow, since it was put: as far as collectors have said so. */
  readonly warned: bigint;
  readonly rejected: bigint;
}

/** A schema as collectors use it. */
export interface ActiveSchema {
  /** Another one, when mode or schema are changed. */
  readonly schemaId: bigint;
  readonly stream: string;
  readonly name: string;
  readonly mode: SchemaMode;
  /** JSON text. */
  readonly schema: string;
}

/** What a collector has seen. */
export interface SchemaCounts {
  readonly schemaId: bigint;
  readonly warned: number;
  readonly rejected: number;
}

export interface Schemas {
  /** Puts a schema for the events of a name; its counts begin anew. Undefined: it is one too many. */
  put(streamId: number, name: string, mode: SchemaMode, schema: object): Promise<StoredSchema | undefined>;
  find(streamId: number, name: string): Promise<StoredSchema | undefined>;
  /** By name, from the one after `after` on. */
  list(streamId: number, after: string, limit: number): Promise<readonly StoredSchema[]>;
  /** False: there is none. */
  remove(streamId: number, name: string): Promise<boolean>;
}

/** Serialises the putting of schemas, so that their number stays below the limit. */
const putLock = sql`select pg_advisory_xact_lock(1953064293, 5)`;

const columns = {
  schemaId: schemas.schemaId,
  name: schemas.name,
  mode: schemas.mode,
  schema: sql<object>`${schemas.schema}`,
  changedAt: schemas.changedAt,
  warned: schemas.warned,
  rejected: schemas.rejected,
};

/** `schemasMax`: in the whole database. */
export function createSchemas(
  { query }: Pick<Database, 'query'>,
  { schemasMax }: { readonly schemasMax: number },
): Schemas {
  const one = (streamId: number, name: string) =>
    sql`(${schemas.streamId} = ${streamId} and ${schemas.name} = ${name})`;

  async function find(streamId: number, name: string): Promise<StoredSchema | undefined> {
    const [found] = await query.select(columns).from(schemas).where(one(streamId, name));
    return found;
  }

  return {
    find,
    async put(streamId, name, mode, schema) {
      const made = await query.transaction(async (transaction) => {
        await transaction.execute(putLock);
        const others = await transaction.$count(schemas, not(one(streamId, name)));
        if (others >= schemasMax) return false;
        // A schema is not changed but replaced: collectors know it by its id.
        await transaction.delete(schemas).where(one(streamId, name));
        await transaction.insert(schemas).values({ streamId, name, mode, schema });
        return true;
      });
      return made ? find(streamId, name) : undefined;
    },
    list: (streamId, after, limit) =>
      query
        .select(columns)
        .from(schemas)
        .where(and(eq(schemas.streamId, streamId), gt(schemas.name, after)))
        .orderBy(asc(schemas.name))
        .limit(limit),
    async remove(streamId, name) {
      const removed = await query
        .delete(schemas)
        .where(one(streamId, name))
        .returning({ name: schemas.name });
      return removed.length > 0;
    },
  };
}

/** All of them, in the words of streams. */
export async function readActiveSchemas({
  query,
}: Pick<Database, 'query'>): Promise<readonly ActiveSchema[]> {
  return query
    .select({
      schemaId: schemas.schemaId,
      stream: streams.name,
      name: schemas.name,
      mode: schemas.mode,
      schema: sql<string>`${schemas.schema}::text`,
    })
    .from(schemas)
    .innerJoin(streams, eq(streams.streamId, schemas.streamId));
}

/** Adds to the counts of schemas; those that are gone are passed over. */
export async function addSchemaCounts(sql: Sql, counts: readonly SchemaCounts[]): Promise<void> {
  const list = (value: (count: SchemaCounts) => bigint | number) => `{${counts.map(value).join(',')}}`;
  await sql`
    update tidemark.schemas s set warned = s.warned + c.warned, rejected = s.rejected + c.rejected
    from unnest(
      ${list(({ schemaId }) => schemaId)}::text::bigint[], ${list(({ warned }) => warned)}::text::bigint[],
      ${list(({ rejected }) => rejected)}::text::bigint[]
    ) c (schema_id, warned, rejected)
    where s.schema_id = c.schema_id`;
}
