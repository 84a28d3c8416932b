import { randomBytes } from 'node:crypto';
import { defaultLimits } from '@tidemark/core/wire';
import { createUuidv7 } from '../../collector/src/ingest/uuidv7.ts';
import { createRandom, type Random } from '../harness/seed.ts';
import type { Load } from './load.ts';

const words =
  'the visitor looked at a page with shoes and went on to another where coats are sold for rain or snow größe 東京'.split(
    ' ',
  ) as [string, ...string[]];

/** Batches of events of about so many bytes each, as large as they may be: up to 500 events, and a body within its limit. */
export function makeSizedLoad(eventBytes: number, events: number): Load {
  const random = createRandom();
  const startMs = Date.now() - 600_000;
  const eventsPerBatch = Math.min(500, Math.floor((defaultLimits.bodyBytes * 0.95) / eventBytes));
  const batches = Math.ceil(events / eventsPerBatch);
  const bodies = Array.from({ length: batches }, (_, batch) => {
    const newId = createUuidv7((count) => randomBytes(count));
    const sent = Array.from({ length: eventsPerBatch }, (__, at) => {
      const ms = startMs + batch + Math.floor((at / eventsPerBatch) * 1_000);
      const bare = { id: newId(ms), name: 'seen', occurredAt: new Date(ms).toISOString() };
      const room = eventBytes - Buffer.byteLength(JSON.stringify(bare)) - propsBytes;
      return room < 0 ? bare : { ...bare, props: { text: makeText(random, room) } };
    });
    const sentAt = new Date(startMs + batch + 1_000).toISOString();
    return Buffer.from(JSON.stringify({ sentAt, clock: { offsetMs: 0, rttMs: 0 }, events: sent }));
  });
  const bytes = bodies.reduce((sum, body) => sum + body.length, 0);
  const made = batches * eventsPerBatch;
  return {
    stream: 'default',
    bodies,
    eventsPerBatch,
    events: made,
    bytesPerEvent: Math.round(bytes / made),
  };
}

/** What the props cost beside their text. */
const propsBytes = ',"props":{"text":""}'.length;

function makeText(random: Random, bytes: number): string {
  let text = '';
  for (let left = bytes; left > 0; ) {
    const word = `${random.oneOf(words)} `;
    text += word;
    left -= Buffer.byteLength(word);
  }
  return text;
}
