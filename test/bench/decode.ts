/**
 * What decoding a body costs, beside what the runtime's own JSON parser would: CPU nanoseconds per event, the median of rounds
 * that alternate. `tsx test/bench/decode.ts`
 */
import { isUtf8 } from 'node:buffer';
import { defaultLimits, parseTime } from '@tidemark/core/wire';
import { decodeBatch } from '../../collector/src/ingest/decode.ts';

const rounds = 9;
const context = { limits: defaultLimits, defaultStream: 'default' };
const decoder = new TextDecoder('utf-8', { fatal: true });

const loads = [
  { name: '100 B', events: 500, fields: 0, text: '' },
  { name: '300 B', events: 500, fields: 4, text: 'a word or two' },
  { name: '300 B, not ASCII', events: 500, fields: 4, text: 'größe 東京' },
  { name: '2 kB', events: 500, fields: 40, text: 'a word or two and some more of it' },
  { name: '30 kB', events: 100, fields: 60, text: 'a word or two and some more of it '.repeat(14) },
];

/** Only the first does all that is needed: the second neither keeps props' text nor checks anything, the third only keeps it. */
const variants = {
  decodeBatch: (body: Buffer) => {
    const decoded = decodeBatch(body, context);
    return decoded.ok ? decoded.batch.events.length : -1;
  },
  'JSON.parse': (body: Buffer) => parsed(body).length,
  'JSON.parse, times, JSON.stringify(props)': (body: Buffer) => {
    let length = 0;
    for (const { occurredAt, props } of parsed(body))
      length += parseTime(occurredAt) === undefined ? 0 : JSON.stringify(props).length;
    return length;
  },
  'only whether it is UTF-8': (body: Buffer) => (isUtf8(body) ? 1 : 0),
};

interface Sample {
  readonly occurredAt: string;
  readonly props: object;
}

function parsed(body: Buffer): Sample[] {
  const batch = JSON.parse(decoder.decode(body)) as { events: Sample[] };
  return batch.events;
}

function bodyOf({ events, fields, text }: (typeof loads)[number]): Buffer {
  const sent = Array.from({ length: events }, (_, number) => ({
    ...(fields === 0 ? {} : { id: `018f6b1e-7c1a-7cc3-9a51-${String(number).padStart(12, '0')}` }),
    name: 'page.viewed',
    occurredAt: `2026-01-31T23:59:59.${String(number).padStart(3, '0')}Z`,
    ...(fields === 0 ? {} : { stream: 'web', key: `user-${number}` }),
    props: {
      n: number * 1.5,
      ok: true,
      ...Object.fromEntries(Array.from({ length: fields }, (__, field) => [`field${field}`, text])),
    },
  }));
  return Buffer.from(JSON.stringify({ sentAt: '2026-01-31T23:59:59.999Z', events: sent }));
}

function cpuNanoseconds(run: () => unknown, times: number): number {
  const before = process.cpuUsage();
  for (let time = 0; time < times; time++) run();
  const { user, system } = process.cpuUsage(before);
  return ((user + system) * 1_000) / times;
}

function median(numbers: number[]): number {
  return numbers.toSorted((a, b) => a - b)[Math.floor(numbers.length / 2)] ?? Number.NaN;
}

for (const load of loads) {
  const body = bodyOf(load);
  const times = Math.ceil(1e8 / body.length);
  const results = new Map<string, number[]>();
  for (let round = 0; round < rounds; round++) {
    for (const [name, run] of Object.entries(variants)) {
      const spent = cpuNanoseconds(() => run(body), times) / load.events;
      // The first two rounds are for the compiler.
      if (round >= 2) results.set(name, [...(results.get(name) ?? []), spent]);
    }
  }
  console.log(`${load.name} (${Math.round(body.length / load.events)} bytes an event)`);
  for (const [name, spent] of results) console.log(`  ${median(spent).toFixed(0).padStart(7)} ns  ${name}`);
}
