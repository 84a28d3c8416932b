import { type BatchReply, paths } from '@tidemark/core/wire';
import { type AskParts, askPatiently, wholeWhere } from '../ask.ts';
import { TidemarkError } from '../errors.ts';
import type { InputRecord } from './records.ts';

/** An event on its way, with the record it comes from. */
export interface ImportedEvent {
  readonly record: InputRecord;
  /** JSON text. */
  readonly event: string;
}

export interface SentBatch {
  readonly stored: number;
  /** They had been stored before. */
  readonly present: number;
  readonly refused: readonly { readonly record: InputRecord; readonly reason: string }[];
}

/**
 * Sends events until the collector has answered for each. Undefined: the signal was aborted before that. Throws TidemarkError where
 * waiting does not help.
 */
export async function sendBatch(
  parts: AskParts,
  events: readonly ImportedEvent[],
  signal: AbortSignal,
): Promise<SentBatch | undefined> {
  // Times are right as they are: whoever sends them has nothing to do with the clocks they come from.
  const head = `{"sentAt":"${new Date(parts.platform.now()).toISOString()}","clock":{"offsetMs":0,"rttMs":0},"events":[`;
  const body = `${head}${events.map(({ event }) => event).join(',')}]}`;
  try {
    const reply = await askPatiently(parts, { method: 'POST', path: paths.events, body }, signal, replyOf);
    return reply === undefined ? undefined : judge(reply, events);
  } catch (error) {
    if (!(error instanceof TidemarkError) || error.status !== 413) throw error;
    const [only] = events;
    if (events.length === 1 && only !== undefined)
      return { stored: 0, present: 0, refused: [{ record: only.record, reason: error.message }] };
    const half = Math.ceil(events.length / 2);
    const first = await sendBatch(parts, events.slice(0, half), signal);
    const second = first && (await sendBatch(parts, events.slice(half), signal));
    return first && second && joined(first, second);
  }
}

const replyOf = wholeWhere<BatchReply>(
  ({ accepted, duplicates, results }) =>
    typeof accepted === 'number' && typeof duplicates === 'number' && Array.isArray(results),
);

function judge({ accepted, duplicates, results }: BatchReply, events: readonly ImportedEvent[]): SentBatch {
  const refused = results.flatMap((result) => {
    const record = events[result.index]?.record;
    return result.status === 'rejected' && record !== undefined
      ? [{ record, reason: `${result.code}: ${result.message}` }]
      : [];
  });
  return { stored: accepted, present: duplicates, refused };
}

function joined(a: SentBatch, b: SentBatch): SentBatch {
  return {
    stored: a.stored + b.stored,
    present: a.present + b.present,
    refused: [...a.refused, ...b.refused],
  };
}
