import { isUtf8 } from 'node:buffer';
import type { ProblemCode } from '@tidemark/core/wire';
import { isContinuation } from './decode-bytes.ts';
import type { BrokenJson } from './decode-scan.ts';

/** Why a body fails as a whole. */
export interface BodyProblem {
  readonly code: ProblemCode;
  readonly detail: string;
  readonly limit?: number;
  readonly actual?: number;
}

export interface FailedBody {
  readonly ok: false;
  readonly problem: BodyProblem;
}

/** Bytes that are UTF-8, and where their text begins: behind a byte order mark. */
export type Utf8 = { readonly ok: true; readonly bytes: Buffer; readonly start: number } | FailedBody;

export function utf8Of(body: Uint8Array): Utf8 {
  const bytes = Buffer.from(body.buffer, body.byteOffset, body.byteLength);
  if (!isUtf8(bytes)) return malformed(`the body is not UTF-8: see byte ${firstInvalidByte(bytes)}`);
  const marked = bytes[0] === 0xef && bytes[1] === 0xbb && bytes[2] === 0xbf;
  return { ok: true, bytes, start: marked ? 3 : 0 };
}

export function malformed(detail: string): FailedBody {
  return { ok: false, problem: { code: 'malformed', detail } };
}

/** Found before the events beyond the limit are looked at: `actual` is a lower bound. */
export function tooManyEvents(limit: number): FailedBody {
  const detail = `the batch has more than ${limit} events: send it in parts`;
  return { ok: false, problem: { code: 'batch_too_large', detail, limit, actual: limit + 1 } };
}

/** What is wrong with a text that begins at byte `start`, and where. Characters count from 1. */
export function brokenDetail(error: BrokenJson, bytes: Buffer, start: number): string {
  let character = 1;
  for (let at = start; at < error.at; at++) if (!isContinuation(bytes[at])) character++;
  const [next] = bytes.toString('utf8', error.at, error.at + 4);
  const found = next === undefined ? 'the end' : JSON.stringify(next);
  return `expected ${error.expected} at character ${character}, found ${found}`;
}

/** Counted from 1. Precondition: the bytes are not UTF-8. */
function firstInvalidByte(bytes: Buffer): number {
  // Decoding with replacement puts U+FFFD where the fault is; one that was sent as such is passed.
  const text = bytes.toString('utf8');
  let at = 0;
  for (let from = 0; ; ) {
    const replaced = text.indexOf('\ufffd', from);
    at += Buffer.byteLength(text.slice(from, replaced));
    if (bytes[at] !== 0xef || bytes[at + 1] !== 0xbf || bytes[at + 2] !== 0xbd) return at + 1;
    at += 3;
    from = replaced + 1;
  }
}
