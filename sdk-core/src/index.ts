export type { ClientClock, DroppedEvents, DropReason, Json, SentEvent } from './wire/index.ts';
export { type Batch, bodyOf } from './batch.ts';
export { backoffMs, type BackoffOptions, retryAfterMs } from './backoff.ts';
export type { Clock } from './clock.ts';
export { createDelivery, type Delivery } from './delivery.ts';
export type { AnyEvents, EventShapes, TrackArguments } from './events.ts';
export type { KeptEvent, Store } from './keeper.ts';
export { judge, type Outcome, parseObject, type Refusal } from './outcome.ts';
export type { Attempt, Platform, Reply } from './platform.ts';
export type { Load, QueuedEvent } from './queue.ts';
export {
  addDropped,
  type Counters,
  type Delay,
  type Loss,
  type LossReason,
  type Report,
  type Unsaved,
} from './report.ts';
export type { FlushResult } from './sender.ts';
export { createRoom, type Room } from './room.ts';
export { createSerialiser, type TrackOptions, utf8Bytes } from './serialise.ts';
export { type DeliveryOptions, deliveryDefaults } from './settings.ts';
