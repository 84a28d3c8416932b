import { and, asc, eq, gt, inArray, type SQL, sql as drizzleSql } from 'drizzle-orm';
import type { Database } from './database.ts';
import { deadLetters } from './schema.ts';

/** A rejected event, as it is kept. Times are microseconds. */
export interface DeadLetter {
  readonly code: string;
  readonly message: string;
  /** Where it would have gone, its id and its key; null: not known. */
  readonly stream: string | null;
  readonly eventId: string | null;
  readonly key: string | null;
  /** Who sent it. */
  readonly keyId: string;
  readonly receivedAt: bigint;
  readonly sentAt: bigint | null;
  /** What the client knew of its clock; both or none. */
  readonly offsetMicros: bigint | null;
  readonly rttMs: number | null;
  /** `raw` is a CloudEvent as JSON. */
  readonly cloudEvent: boolean;
  readonly raw: string;
  /** `raw` is only the beginning of what was sent. */
  readonly truncated: boolean;
}

export interface StoredLetter extends DeadLetter {
  readonly letterId: bigint;
  readonly rejectedAt: bigint;
  /** The id of an event that has none. */
  readonly spareId: string;
}

/** Which letters; all of it must hold. */
export interface LetterFilter {
  readonly stream?: string;
  readonly code?: string;
  readonly keyId?: string;
  readonly ids?: readonly bigint[];
}

export interface LetterPage {
  /** Exclusive. */
  readonly after: bigint;
  readonly limit: number;
  /** Of the texts; at least one letter is given. */
  readonly bytesMax: number;
}

export interface DeadLetters {
  /** Keeps letters, and answers how many old ones had to go for that. */
  keep(letters: readonly DeadLetter[]): Promise<number>;
  /** In the order in which they were rejected. */
  list(filter: LetterFilter, page: LetterPage): Promise<readonly StoredLetter[]>;
  /** How many there were. */
  remove(letterIds: readonly bigint[]): Promise<number>;
  /** Why they are rejected now. */
  note(letterIds: readonly bigint[], reason: Pick<DeadLetter, 'code' | 'message'>): Promise<void>;
}

/** `bytesMax`: how large all letters may be together. */
export function createDeadLetters(
  { query }: Pick<Database, 'query'>,
  { bytesMax }: { readonly bytesMax: number },
): DeadLetters {
  return {
    async keep(letters) {
      const added = JSON.stringify(letters.map(addedOf));
      const [row] = await query.execute<{ dropped: number }>(
        drizzleSql`select tidemark.keep_dead_letters(${added}::text::json, ${String(bytesMax)}::text::bigint) as dropped`,
      );
      return row?.dropped ?? 0;
    },
    async list(filter, { after, limit, bytesMax: pageBytes }) {
      // Their sizes first: most pages are never as large as their number of letters would allow.
      const sizes = await query
        .select({ letterId: deadLetters.letterId, bytes: deadLetters.bytes })
        .from(deadLetters)
        .where(and(gt(deadLetters.letterId, after), ...conditionsOf(filter)))
        .orderBy(asc(deadLetters.letterId))
        .limit(limit);
      const ids = sizes.slice(0, fitting(sizes, pageBytes)).map(({ letterId }) => letterId);
      if (ids.length === 0) return [];
      return query
        .select()
        .from(deadLetters)
        .where(inArray(deadLetters.letterId, ids))
        .orderBy(asc(deadLetters.letterId));
    },
    async remove(letterIds) {
      const ids = `{${letterIds.join(',')}}`;
      const [row] = await query.execute<{ taken: number }>(
        drizzleSql`select tidemark.take_dead_letters(${ids}::text::bigint[]) as taken`,
      );
      return row?.taken ?? 0;
    },
    async note(letterIds, reason) {
      if (letterIds.length === 0) return;
      await query
        .update(deadLetters)
        .set(reason)
        .where(inArray(deadLetters.letterId, [...letterIds]));
    },
  };
}

function addedOf(letter: DeadLetter): Record<string, string | number | boolean | null> {
  return {
    received_at: String(letter.receivedAt),
    sent_at: letter.sentAt === null ? null : String(letter.sentAt),
    offset_micros: letter.offsetMicros === null ? null : String(letter.offsetMicros),
    rtt_ms: letter.rttMs,
    cloud_event: letter.cloudEvent,
    truncated: letter.truncated,
    code: letter.code,
    message: letter.message,
    key_id: letter.keyId,
    stream: letter.stream,
    event_id: letter.eventId,
    key: letter.key,
    raw: letter.raw,
  };
}

function conditionsOf({ stream, code, keyId, ids }: LetterFilter): readonly SQL[] {
  return [
    ...(stream === undefined ? [] : [eq(deadLetters.stream, stream)]),
    ...(code === undefined ? [] : [eq(deadLetters.code, code)]),
    ...(keyId === undefined ? [] : [eq(deadLetters.keyId, keyId)]),
    ...(ids === undefined ? [] : [inArray(deadLetters.letterId, [...ids])]),
  ];
}

/** How many of the first fit, one at least. */
function fitting(sizes: readonly { readonly bytes: number }[], bytesMax: number): number {
  let total = 0;
  const beyond = sizes.findIndex(({ bytes }) => {
    total += bytes;
    return total > bytesMax;
  });
  return beyond === -1 ? sizes.length : Math.max(1, beyond);
}
