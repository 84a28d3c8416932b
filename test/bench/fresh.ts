import { randomBytes } from 'node:crypto';

/** How a batch is made anew each time that it is sent, where a copy of one that was sent before would be stored once. */
export interface Fresh {
  /** UUIDv7 of the event's time, as SDKs make them; or random ones, as others do. */
  readonly ids: 'ordered' | 'random';
  /** When the first batch is said to be sent, milliseconds, each other one a millisecond later. Left out: when it is. */
  readonly startMs?: number;
}

/** Where in a body the texts begin that change. */
interface Places {
  readonly ids: readonly number[];
  readonly times: readonly number[];
}

const known = new WeakMap<Buffer, Places>();
const idBegin = Buffer.from('"id":"');
const timeBegin = Buffer.from('"occurredAt":"');
const sentBegin = Buffer.from('{"sentAt":"');
/** Over so many milliseconds before it is sent the events of a batch happen. */
const spreadMs = 1_000;

/** A copy of a body of the load whose events happen just before it is sent, with ids that no other copy has. */
export function freshen(body: Buffer, { ids, startMs }: Fresh, batch: number): Buffer {
  const places = known.get(body) ?? findPlaces(body);
  known.set(body, places);
  const sentMs = startMs === undefined ? Date.now() : startMs + batch;
  const copy = Buffer.from(body);
  copy.write(new Date(sentMs).toISOString(), sentBegin.length, 'latin1');
  const events = places.ids.length;
  const random = ids === 'random' ? randomBytes(16 * events).toString('hex') : '';
  for (let at = 0; at < events; at += 1) {
    const ms = sentMs - spreadMs + Math.floor((at / events) * spreadMs);
    copy.write(new Date(ms).toISOString(), places.times[at] ?? 0, 'latin1');
    const id = ids === 'random' ? uuid(random, at * 32) : timeOfUuid(ms);
    copy.write(id, places.ids[at] ?? 0, 'latin1');
  }
  return copy;
}

function uuid(hex: string, from: number): string {
  const part = (start: number, end: number) => hex.slice(from + start, from + end);
  return `${part(0, 8)}-${part(8, 12)}-4${part(13, 16)}-8${part(17, 20)}-${part(20, 32)}`;
}

/** What a UUIDv7 begins with; the rest stays, and is random. */
function timeOfUuid(ms: number): string {
  const hex = ms.toString(16).padStart(12, '0');
  return `${hex.slice(0, 8)}-${hex.slice(8)}`;
}

function findPlaces(body: Buffer): Places {
  const ids = placesOf(body, idBegin);
  const times = placesOf(body, timeBegin);
  if (ids.length !== times.length || body.indexOf(sentBegin) !== 0)
    throw new Error('a body of the load looks different from what can be made anew');
  return { ids, times };
}

function placesOf(body: Buffer, begin: Buffer): number[] {
  const places: number[] = [];
  for (let at = body.indexOf(begin); at !== -1; at = body.indexOf(begin, at + 1))
    places.push(at + begin.length);
  return places;
}
