/**
 * What a failed statement means. Decided once, by code, for everybody.
 *
 * - `data`: Postgres refused a value. Nothing was stored; the same statement will fail again.
 * - `stream_gone`: a stream of the append was deleted. Nothing was stored.
 * - `no_partition`: there is no partition for an order time, or one that is about to be dropped. Nothing was stored; make
 *   partitions, try again.
 * - `transient`: Postgres undid the transaction (deadlock, conflict). Nothing was stored; trying again at once may help.
 * - `held_up`: somebody else holds a lock that the statement waited for, and did not let go of it in time. Nothing was stored.
 * - `stalled`: Postgres gave up (time-out, cancel, no room). Nothing was stored; trying again at once would only wait once more.
 * - `unavailable`: Postgres cannot be reached or is closing, or the connection broke: whether anything was stored is unknown.
 * - `broken`: anything else, which is a fault of ours.
 */
export type Failure =
  | 'data'
  | 'stream_gone'
  | 'no_partition'
  | 'transient'
  | 'held_up'
  | 'stalled'
  | 'unavailable'
  | 'broken';

export function failureOf(error: unknown): Failure {
  const code = codeOf(error);
  if (code === undefined) return 'broken';
  if (code === 'TM001') return 'stream_gone';
  if (code === 'TM002') return 'no_partition';
  if (code === '23514' && routineOf(error) === 'ExecFindPartition') return 'no_partition';
  if (unavailableCodes.has(code)) return 'unavailable';
  const family = code.slice(0, 2);
  if (/^[0-9A-Z]{5}$/.test(code)) {
    if (family === '08') return 'unavailable';
    if (family === '22' || family === '23' || code === '54000' || code === '54001') return 'data';
    if (family === '40') return 'transient';
    if (code === '55P03') return 'held_up';
    if (code === '57014' || family === '53') return 'stalled';
  }
  return 'broken';
}

/**
 * What a request is to blame for though its statement failed: `text`: it had a character that Postgres cannot hold. `gone`: the stream it
 * names was deleted at the same moment.
 */
export function blameOf(error: unknown): 'text' | 'gone' | undefined {
  const code = codeOf(error);
  if (code === '22021' || code === '22P05') return 'text';
  return code === '23503' ? 'gone' : undefined;
}

/** A short text for logs: the code and Postgres' own message, never a statement or its values. */
export function describeFailure(error: unknown): string {
  const message = error instanceof Error ? error.message : String(error);
  return `${codeOf(error) ?? 'no code'}: ${message.slice(0, 300)}`;
}

function codeOf(error: unknown): string | undefined {
  // Drizzle wraps what the driver throws.
  if (error instanceof Error && error.cause instanceof Error && !('code' in error))
    return codeOf(error.cause);
  if (typeof error !== 'object' || error === null || !('code' in error)) return undefined;
  return typeof error.code === 'string' ? error.code : undefined;
}

function routineOf(error: unknown): unknown {
  return typeof error === 'object' && error !== null && 'routine' in error ? error.routine : undefined;
}

const unavailableCodes: ReadonlySet<string> = new Set([
  // Sockets and the driver.
  'ECONNREFUSED',
  'ECONNRESET',
  'EPIPE',
  'ETIMEDOUT',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'ENOTFOUND',
  'EAI_AGAIN',
  'CONNECT_TIMEOUT',
  'CONNECTION_CLOSED',
  'CONNECTION_ENDED',
  'CONNECTION_DESTROYED',
  // Postgres: closing, crashed, starting, taking no connections, out of them, read-only after a switch.
  '57P01',
  '57P02',
  '57P03',
  '57P05',
  '55000',
  '53300',
  '25006',
]);
