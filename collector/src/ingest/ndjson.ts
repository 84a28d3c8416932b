import { parseTime } from '@tidemark/core/wire';
import type { Decoded } from './decode.ts';
import { brokenDetail, tooManyEvents, utf8Of } from './decode-body.ts';
import { byte } from './decode-bytes.ts';
import {
  createEventDecoder,
  type DecodeContext,
  type DecodedEvent,
  type Rejection,
  rawText,
  unknown,
} from './decode-event.ts';
import { BrokenJson, createScan, passSpace } from './decode-scan.ts';

/**
 * Decodes NDJSON: one event a line, in the form that a JSON batch has them. Empty lines are passed over and do not count. A line
 * that is no JSON rejects only itself, with `invalid_json`; a body that is not UTF-8 is `malformed`. `sentAt` is what the
 * request says beside the body.
 */
export function decodeLines(body: Uint8Array, sentAt: string | undefined, context: DecodeContext): Decoded {
  const text = utf8Of(body);
  if (!text.ok) return text;
  const { bytes } = text;
  const scan = createScan(bytes, context.limits.jsonDepth);
  const decoder = createEventDecoder(scan, context);
  const events: DecodedEvent[] = [];
  const rejections: Rejection[] = [];

  let index = 0;
  for (let start = text.start; start < bytes.length; start = scan.end + 1) {
    const lineFeed = bytes.indexOf(byte.lineFeed, start);
    scan.end = lineFeed < 0 ? bytes.length : lineFeed;
    if (passSpace(scan, start) === scan.end) continue;
    if (index === context.limits.batchEvents) return tooManyEvents(context.limits.batchEvents);
    const outcome = decodeLine(start, index++);
    if ('code' in outcome) rejections.push(outcome);
    else events.push(outcome);
  }
  const sentMicros = sentAt === undefined ? undefined : parseTime(sentAt);
  return { ok: true, batch: { sentAt: sentMicros, clock: undefined, events, rejections } };

  function decodeLine(start: number, at: number): DecodedEvent | Rejection {
    try {
      const behind = passSpace(scan, decoder.pass(start));
      if (behind < scan.end) throw new BrokenJson(behind, 'the end of the line');
      return decoder.read(at);
    } catch (error) {
      if (!(error instanceof BrokenJson)) throw error;
      const message = brokenDetail(error, bytes.subarray(0, scan.end), start);
      return { index: at, ...unknown, code: 'invalid_json', message, ...rawText(bytes, start, scan.end) };
    }
  }
}
