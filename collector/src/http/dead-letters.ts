import { formatTime, paths, streamNamePattern } from '@tidemark/core/wire';
import { type Context, Hono } from 'hono';
import { z } from 'zod';
import { createProblem, ProblemError } from '../errors.ts';
import type { Admission } from '../ingest/admit.ts';
import type { createReplay, ReplayOutcome } from '../ingest/replay.ts';
import type { Metrics } from '../metrics.ts';
import type { DeadLetters, StoredLetter } from '../store/dead-letters.ts';
import type { Authenticate } from './authenticate.ts';
import { readJsonBody } from './json-body.ts';
import { readWhole } from './query-parameter.ts';
import type { Replies } from './respond.ts';
import { overloaded } from './take-batch.ts';

export interface DeadLettersDependencies {
  readonly authenticate: Authenticate;
  readonly replies: Replies;
  readonly deadLetters: Pick<DeadLetters, 'list' | 'remove' | 'note'>;
  readonly replay: ReturnType<typeof createReplay>;
  readonly admission: Pick<Admission, 'admit' | 'retryAfterMs'>;
  readonly metrics: Pick<Metrics, 'eventsAccepted' | 'eventsDuplicate'>;
}

/** Letters of a list or a replay: the default and the most. */
export const deadLettersPage = { default: 100, max: 1_000 } as const;
/** Bytes of their texts. */
const pageBytes = 4_194_304;

const letterId = z.string().regex(/^\d{1,18}$/, 'must be the id of a dead letter');
const filter = {
  stream: z.string().regex(streamNamePattern).exactOptional().describe('Only letters of this stream.'),
  code: z
    .string()
    .regex(/^\w{1,64}$/, 'must be a code')
    .exactOptional()
    .describe('Only letters with this code.'),
  keyId: z
    .string()
    .regex(/^[\w-]{1,128}$/, 'must be the id of a key')
    .exactOptional()
    .describe('Only letters that were sent with this key.'),
};

export const replayBody = z.strictObject({
  ...filter,
  ids: z.array(letterId).min(1).max(deadLettersPage.max).exactOptional().describe('Only these letters.'),
  cursor: letterId.exactOptional().describe('The `nextCursor` of the replay before.'),
  limit: z.int().min(1).max(deadLettersPage.max).exactOptional().describe('Most letters of this request.'),
});

const query = z.object({ ...filter, cursor: letterId.exactOptional() });

/** `GET /v1/dead-letters` and `POST /v1/dead-letters/replay`: for the admin. */
export function createDeadLettersRoute(dependencies: DeadLettersDependencies): Hono {
  const { authenticate, replies, deadLetters } = dependencies;
  return new Hono()
    .get(paths.deadLetters, async (context) => {
      await authenticate(context, { role: 'admin' });
      const { cursor, ...wanted } = readQuery(context);
      const limit = readWhole('limit', context.req.query('limit'), deadLettersPage);
      const page = { after: BigInt(cursor ?? 0), limit, bytesMax: pageBytes };
      const letters = await deadLetters.list(wanted, page);
      return replies.json({ deadLetters: letters.map(describeLetter), nextCursor: nextOf(letters) });
    })
    .post(paths.deadLettersReplay, async (context) => {
      const principal = await authenticate(context, { role: 'admin' });
      const body = await readJsonBody(context.req, replayBody, { stream: 'orders' }, replayBodyBytesMax);
      const { cursor, limit = deadLettersPage.default, ids, ...wanted } = body;
      const letters = await deadLetters.list(
        ids === undefined ? wanted : { ...wanted, ids: ids.map(BigInt) },
        { after: BigInt(cursor ?? 0), limit: ids?.length ?? limit, bytesMax: pageBytes },
      );
      const outcomes = await replayLetters(dependencies, letters, principal.keyId);
      const count = (status: ReplayOutcome['status']) =>
        outcomes.filter((outcome) => outcome.status === status).length;
      return replies.json({
        stored: count('stored'),
        duplicates: count('duplicate'),
        rejected: count('rejected'),
        results: outcomes.map(describeOutcome),
        nextCursor: nextOf(letters),
      });
    });
}

/** Ids take up to 18 digits, two quotes and a comma. */
const replayBodyBytesMax = 32_768;

/** What is stored leaves the dead letters; of what is not, the reason is kept. Should it be cut in between, events are duplicates next time. */
async function replayLetters(
  { deadLetters, replay, admission, metrics }: DeadLettersDependencies,
  letters: readonly StoredLetter[],
  keyId: string,
): Promise<readonly ReplayOutcome[]> {
  if (letters.length === 0) return [];
  const bytes = letters.reduce((sum, letter) => sum + letter.raw.length, 0);
  const ticket = admission.admit(bytes, keyId);
  if (!ticket.admitted) throw overloaded(ticket, admission);
  let outcomes: readonly ReplayOutcome[] = [];
  try {
    outcomes = await replay(letters, keyId);
  } finally {
    ticket.release(outcomes.length > 0 ? 'stored' : 'failed');
  }
  const gone = outcomes.filter(({ status }) => status !== 'rejected');
  metrics.eventsAccepted.inc(gone.filter(({ status }) => status === 'stored').length);
  metrics.eventsDuplicate.inc(gone.filter(({ status }) => status === 'duplicate').length);
  await deadLetters.remove(gone.map(({ letter }) => letter.letterId));
  for (const outcome of outcomes) {
    if (outcome.status !== 'rejected') continue;
    const { letter, code, message } = outcome;
    if (code !== letter.code || message !== letter.message)
      await deadLetters.note([letter.letterId], { code, message });
  }
  return outcomes;
}

function readQuery({ req }: Context): z.infer<typeof query> {
  const parsed = query.safeParse(req.query());
  if (parsed.success) return parsed.data;
  const issues = parsed.error.issues.map(({ path, message }) => `${path.join('.')}: ${message}`);
  throw new ProblemError(createProblem('invalid_parameter', issues.join('; ')));
}

/** A page may be short because its letters are long: only an empty one is the last. */
function nextOf(letters: readonly StoredLetter[]): string | null {
  const last = letters.at(-1);
  return last === undefined ? null : String(last.letterId);
}

function describeLetter(letter: StoredLetter) {
  const { sentAt, offsetMicros, rttMs } = letter;
  return {
    id: String(letter.letterId),
    code: letter.code,
    message: letter.message,
    stream: letter.stream,
    eventId: letter.eventId,
    key: letter.key,
    keyId: letter.keyId,
    rejectedAt: formatTime(letter.rejectedAt),
    receivedAt: formatTime(letter.receivedAt),
    sentAt: sentAt === null ? null : formatTime(sentAt),
    clock: offsetMicros === null || rttMs === null ? null : { offsetMs: Number(offsetMicros) / 1_000, rttMs },
    format: letter.cloudEvent ? 'cloudEvent' : 'event',
    raw: letter.raw,
    truncated: letter.truncated,
  };
}

function describeOutcome(outcome: ReplayOutcome) {
  const { letter, status } = outcome;
  const reason = outcome.status === 'rejected' ? { code: outcome.code, message: outcome.message } : {};
  return { id: String(letter.letterId), stream: letter.stream, eventId: letter.eventId, status, ...reason };
}
