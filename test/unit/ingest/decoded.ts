import { defaultLimits, type Limits } from '@tidemark/core/wire';
import type {
  BodyProblem,
  DecodeContext,
  Decoded,
  DecodedBatch,
  DecodedEvent,
  Rejection,
} from '../../../collector/src/ingest/decode.ts';

export function contextWith(limits: Partial<Limits> = {}): DecodeContext {
  return { limits: { ...defaultLimits, ...limits }, defaultStream: 'standard' };
}

export function batchIn(decoded: Decoded): DecodedBatch {
  if (!decoded.ok) throw new Error(decoded.problem.detail);
  return decoded.batch;
}

export function problemIn(decoded: Decoded): BodyProblem {
  if (decoded.ok) throw new Error('it was decoded');
  return decoded.problem;
}

/** The only event of a batch. */
export function eventIn(decoded: Decoded): DecodedEvent {
  const { events, rejections } = batchIn(decoded);
  const [event] = events;
  if (event === undefined || events.length > 1) throw new Error(rejections[0]?.message ?? 'not one event');
  return event;
}

/** The only rejection of a batch. */
export function rejectionIn(decoded: Decoded): Rejection {
  const [rejection, more] = batchIn(decoded).rejections;
  if (rejection === undefined || more !== undefined) throw new Error('not one rejection');
  return rejection;
}
