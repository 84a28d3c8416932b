import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { createClock } from '../../collector/src/clock.ts';
import { type AppendRow, appendRows } from '../../collector/src/store/append.ts';
import { createQuery, upkeepSettings } from '../../collector/src/store/database.ts';
import { createDeadLetters, type DeadLetter } from '../../collector/src/store/dead-letters.ts';
import {
  createErasures,
  type Erasure,
  type Erasures,
  erasuresDefaults,
  expireMarks,
  findUnfinished,
} from '../../collector/src/store/erase.ts';
import { createUpkeep, type UpkeepOptions, upkeepDefaults } from '../../collector/src/store/upkeep.ts';
import { eventually } from '../harness/eventually.ts';
import { makePast } from '../harness/past-partitions.ts';
import { createRow, createStoreCase, holdStream, type StoreCase } from '../harness/store-case.ts';

const clock = createClock();
const forever = 200n * 366n * 86_400_000_000n;

let store: StoreCase;
let streamId: number;

beforeEach(async () => {
  store = await createStoreCase();
  streamId = await store.makeStream('people', forever);
});

afterEach(() => store.close());

function startErasures(change: Partial<typeof erasuresDefaults> = {}): Erasures {
  return createErasures(store.connect(2), {
    ...erasuresDefaults,
    ...change,
    monotonicMs: clock.monotonicMs,
    sleep: (ms) => clock.sleep(ms),
  });
}

async function now(): Promise<bigint> {
  const [row] = await store.sql<[{ now: bigint }]>`select tidemark.clock() as now`;
  return row.now;
}

interface Stored {
  readonly id: string;
  readonly key: string | null;
  readonly props: string | null;
  readonly erased: boolean;
  readonly user_agent: string | null;
  readonly ip: string | null;
  readonly bytes: number;
  readonly place: string;
}

const stored = (stream = streamId) =>
  store.sql<Stored[]>`
    select id, key, props::text, erased, user_agent, host(ip) as ip, bytes, order_time || ' ' || seq as place
    from tidemark.events where stream_id = ${stream} order by order_time, seq`;

let events = 0;

/** An event about somebody, with something to erase. */
function about(key: string | null, receivedAt: bigint, change: Partial<AppendRow> = {}): AppendRow {
  events += 1;
  return createRow({
    key,
    receivedAt,
    eventTime: receivedAt + BigInt(events),
    props: '{"secret":1}',
    ...change,
  });
}

/** Asks until it is done. */
async function erase(key: string, erasures = startErasures(), stream = streamId): Promise<Erasure> {
  await erasures.begin(stream, key);
  for (;;) {
    const erasure = await erasures.advance(stream, key, 1_000);
    if (erasure === undefined) throw new Error('the mark is gone');
    if (erasure.done) return erasure;
  }
}

const letter = (change: Partial<DeadLetter>): DeadLetter => ({
  code: 'invalid_name',
  message: 'no name',
  stream: 'people',
  eventId: null,
  key: null,
  keyId: 'key',
  receivedAt: 0n,
  sentAt: null,
  offsetMicros: null,
  rttMs: null,
  cloudEvent: false,
  raw: '{}',
  truncated: false,
  ...change,
});

describe('erasing', () => {
  test('G6 G7 takes props, address and user agent from the events of a key, and leaves them in their places', async () => {
    await store.sql`update tidemark.streams set client_ip = 'whole', user_agent = true`;
    const at = await now();
    const person = { ip: '203.0.113.7', userAgent: 'Browser/1.0' };
    await store.append(streamId, [
      about('a', at, person),
      about('b', at, person),
      about(null, at, person),
      about('a', at, { props: null }),
    ]);
    const other = await store.makeStream('others', forever);
    await store.append(other, [about('a', at)]);
    const before = await stored();
    expect(before[0]).toMatchObject({ ip: '203.0.113.7', user_agent: 'Browser/1.0', erased: false });

    expect(await erase('a')).toMatchObject({ erased: 2n, done: true });
    const after = await stored();
    expect(after.map(({ id, key, place }) => [id, key, place])).toEqual(
      before.map(({ id, key, place }) => [id, key, place]),
    );
    expect(after.map(({ erased }) => erased)).toEqual([true, false, false, true]);
    for (const event of [after[0], after[3]])
      expect(event).toMatchObject({ props: null, ip: null, user_agent: null });
    expect(after[0]?.bytes).toBe(Buffer.byteLength(`${after[0]?.id}thing.happeneda`));
    expect(after[1]).toEqual(before[1]);
    expect(after[2]).toEqual(before[2]);
    expect((await stored(other))[0]).toMatchObject({ erased: false, props: '{"secret":1}' });

    // The same once more changes nothing.
    expect(await erase('a')).toMatchObject({ erased: 0n, done: true });
    expect(await stored()).toEqual(after);
  });

  test('G2 an erased id stays taken', async () => {
    const row = about('a', await now());
    await store.append(streamId, [row]);
    await erase('a');
    expect(await store.append(streamId, [{ ...row, props: '{"again":true}' }])).toEqual([0]);
    expect((await stored()).map(({ props }) => props)).toEqual([null]);
  });

  test('goes in small steps over partitions of many days, and from where it was after an interruption', async () => {
    await makePast(store.sql, 5);
    const at = await now();
    const day = 86_400_000_000n;
    const rows = Array.from({ length: 1_200 }, (_, index) =>
      about(index % 3 === 0 ? 'a' : 'b', at - day * BigInt(index % 5)),
    );
    await store.append(
      streamId,
      rows.toSorted((a, b) => Number(a.eventTime - b.eventTime)),
    );
    const small = startErasures({ stepRows: 100 });
    await small.begin(streamId, 'a');
    // No time at all: one step a call. Each call is another process that goes on.
    const seen: bigint[] = [];
    for (let calls = 1; ; calls++) {
      const erasure = await startErasures({ stepRows: 100 }).advance(streamId, 'a', 0);
      seen.push(erasure?.erased ?? 0n);
      if (erasure?.done === true) {
        expect(calls).toBeGreaterThanOrEqual(13);
        break;
      }
    }
    expect(seen).toEqual(seen.toSorted((a, b) => Number(a - b)));
    for (let at = 1; at < seen.length; at++)
      expect((seen[at] ?? 0n) - (seen[at - 1] ?? 0n)).toBeLessThanOrEqual(100n);
    expect(seen.at(-1)).toBe(400n);
    const left = await stored();
    expect(left).toHaveLength(1_200);
    expect(left.filter(({ key, erased, props }) => (key === 'a') !== (erased && props === null))).toEqual([]);
  });

  test('goes in smaller steps where events are so large that a statement takes too long', async () => {
    const at = await now();
    await store.append(
      streamId,
      Array.from({ length: 200 }, () => about('a', at)),
    );
    // A statement that changes more than sixty of them is cancelled, as one that takes too long is.
    await store.sql`create function public.no_more() returns trigger language plpgsql as $$
      declare updated integer := coalesce(nullif(current_setting('test.updated', true), ''), '0')::integer + 1;
      begin
        perform set_config('test.updated', updated::text, true);
        if updated > 60 then raise exception 'it takes too long' using errcode = 'query_canceled'; end if;
        return new;
      end $$`;
    await store.sql`create trigger no_more before update on tidemark.events for each row execute function public.no_more()`;
    expect(await erase('a', startErasures({ stepRows: 200 }))).toMatchObject({ erased: 200n, done: true });
  });

  test('events that were received later are another matter', async () => {
    const { erasedThrough } = await erase('a');
    await store.append(streamId, [
      about('a', erasedThrough, { id: 'before' }),
      about('a', erasedThrough + 1n, { id: 'after' }),
    ]);
    const found = new Map((await stored()).map(({ id, erased, props }) => [id, [erased, props]]));
    expect(found.get('before')).toEqual([true, null]);
    expect(found.get('after')).toEqual([false, '{"secret":1}']);
    // Until it is asked again.
    await store.sql`update tidemark.events set received_at = ${erasedThrough - 1n} where id = 'after'`;
    expect(await erase('a')).toMatchObject({ erased: 1n });
  });

  test('an event that waited in a queue or a spool loses its contents when it is stored, and its neighbours keep theirs', async () => {
    await store.sql`update tidemark.streams set client_ip = 'whole', user_agent = true`;
    const early = await now();
    await erase('a');
    const person = { ip: '2001:db8::1', userAgent: 'Browser/1.0' };
    await store.append(streamId, [
      about('b', early, { id: '1', ...person }),
      about('a', early, { id: '2', ...person }),
      about(null, early, { id: '3', props: '{"n":3}' }),
      about('a', early, { id: '4' }),
    ]);
    const found = await stored();
    expect(found.map(({ id, erased, props, ip }) => [id, erased, props, ip])).toEqual([
      ['1', false, '{"secret":1}', '2001:db8::1'],
      ['2', true, null, null],
      ['3', false, '{"n":3}', null],
      ['4', true, null, null],
    ]);
    expect(found[1]?.bytes).toBe(Buffer.byteLength('2thing.happeneda'));
  });

  test('an append that took its lock before the mark is waited for, however slow it is', async () => {
    const early = await now();
    const slow = store.connect(1);
    const holder = await holdStream(slow, streamId);
    // It has taken its snapshot of the marks, so to speak: they are taken out of its sight until it has stored.
    const erasures = startErasures();
    await erasures.begin(streamId, 'a');
    expect(await erasures.advance(streamId, 'a', 50)).toMatchObject({
      drained: false,
      done: false,
      erased: 0n,
    });
    await store.sql`update tidemark.erasures set erased_through = erased_through - 3600000000`;
    await holder.append([about('a', early, { id: 'slow' })]);
    await store.sql`update tidemark.erasures set erased_through = erased_through + 3600000000`;
    let done: Erasure | undefined;
    const finished = (async () => {
      while (done?.done !== true) done = await erasures.advance(streamId, 'a', 200);
    })();
    await holder.commit();
    await finished;
    expect(done).toMatchObject({ erased: 1n, drained: true });
    expect(await stored()).toMatchObject([{ id: 'slow', erased: true, props: null }]);
  });

  test('nothing of a key is left when it is erased while many are appending', async () => {
    const writers = store.connect(4);
    let writing = true;
    let written = 0;
    let last = 0n;
    const write = async (): Promise<void> => {
      while (writing) {
        const received = await now();
        const rows = Array.from({ length: 20 }, (_, index) => about(index % 2 === 0 ? 'a' : 'b', received));
        await writers.begin(async (transaction) => {
          await transaction`set local synchronous_commit = off`;
          await transaction`select tidemark.append(
            ${`{${rows.map(() => streamId).join(',')}}`}::text::integer[], ${`{${rows.map(({ claim }) => claim).join(',')}}`}::text::uuid[],
            ${`{${rows.map(({ id }) => id).join(',')}}`}::text::text[], array_fill('n'::text, array[20]),
            ${`{${rows.map(({ key }) => key).join(',')}}`}::text::text[], array_fill('{"secret":1}'::text, array[20]),
            array_fill(null::bigint, array[20]), array_fill(null::bigint, array[20]), array_fill(${received}::bigint, array[20]),
            array_fill(${received}::bigint, array[20]), array_fill(6::smallint, array[20]))`;
        });
        written += 20;
        if (received > last) last = received;
      }
    };
    const all = Promise.all(Array.from({ length: 4 }, write));
    await eventually('there is something to erase', () => written > 200);
    const { erasedThrough } = await erase('a', startErasures({ stepRows: 50 }));
    await eventually('events come that were received later', () => last > erasedThrough);
    writing = false;
    await all;
    const [left] = await store.sql<[{ kept: number; erased: number; later: number; harmed: number }]>`
      select count(*) filter (where key = 'a' and received_at <= ${erasedThrough} and (not erased or props is not null))::integer as kept,
        count(*) filter (where key = 'a' and erased)::integer as erased,
        count(*) filter (where key = 'a' and received_at > ${erasedThrough} and not erased)::integer as later,
        count(*) filter (where (key = 'b' or received_at > ${erasedThrough}) and (erased or props is null))::integer as harmed
      from tidemark.events`;
    expect(left).toMatchObject({ kept: 0, harmed: 0 });
    expect(left.erased).toBeGreaterThan(100);
    expect(left.later).toBeGreaterThan(0);
  });

  test('is seen by an append that takes many streams, in its own stream only', async () => {
    const other = await store.makeStream('others', forever);
    const early = await now();
    await erase('a');
    const rows = [about('a', early), about('a', early)];

    await appendRows(store.sql, rows, [streamId, other]);
    expect((await stored()).map(({ erased }) => erased)).toEqual([true]);
    expect((await stored(other)).map(({ erased }) => erased)).toEqual([false]);
  });
});

describe('dead letters of an erased person', () => {
  test('go, and so do those of which only the text is known', async () => {
    const deadLetters = createDeadLetters({ query: createQuery(store.sql) }, { bytesMax: 1e9 });
    await deadLetters.keep([
      letter({ key: 'a', raw: '1' }),
      letter({ key: 'b', raw: '{"note":"a"}' }),
      letter({ key: 'a', raw: '3', stream: 'others' }),
      letter({ raw: '{"name":1,"key":"a","props":{}', stream: null, code: 'invalid_json' }),
      letter({ raw: '{"name":1,"key":"aa"', stream: null, code: 'invalid_json' }),
    ]);
    const before = await deadLetters.list({}, { after: 0n, limit: 10, bytesMax: 1e6 });
    expect(before).toHaveLength(5);
    expect(await erase('a', startErasures({ stepRows: 2 }))).toMatchObject({ letters: 2n, done: true });
    const after = await deadLetters.list({}, { after: 0n, limit: 10, bytesMax: 1e6 });
    expect(after.map(({ raw }) => raw)).toEqual(['{"note":"a"}', '3', '{"name":1,"key":"aa"']);
    const [total] = await store.sql<[{ letters: bigint; bytes: bigint; sum: bigint }]>`
      select letters, t.bytes, (select sum(d.bytes) from tidemark.dead_letters d)::bigint as sum from tidemark.dead_letters_total t`;
    expect([total.letters, total.bytes]).toEqual([3n, total.sum]);
  });

  test('are not kept when they come from a queue later, unless they were received later', async () => {
    const deadLetters = createDeadLetters({ query: createQuery(store.sql) }, { bytesMax: 1e9 });
    const { erasedThrough } = await erase('a');
    await deadLetters.keep([
      letter({ key: 'a', receivedAt: erasedThrough, raw: 'gone' }),
      letter({ key: 'a', receivedAt: erasedThrough + 1n, raw: 'later' }),
      letter({ key: 'b', receivedAt: erasedThrough, raw: 'somebody else' }),
      letter({ raw: '"a"', receivedAt: erasedThrough, stream: null }),
    ]);
    const left = await deadLetters.list({}, { after: 0n, limit: 10, bytesMax: 1e6 });
    expect(left.map(({ raw }) => raw)).toEqual(['later', 'somebody else']);
  });
});

describe('the upkeep', () => {
  const startUpkeep = (change: Partial<UpkeepOptions> = {}) => {
    const upkeep = createUpkeep(store.connect(1, upkeepSettings), {
      ...upkeepDefaults,
      sleep: () => Promise.resolve(),
      monotonicMs: clock.monotonicMs,
      ...change,
    });
    return () => upkeep.round(new AbortController().signal);
  };

  test('sees to erasures that nobody finished, a minute later', async () => {
    await store.append(streamId, [about('a', await now())]);
    await startErasures().begin(streamId, 'a');
    const round = startUpkeep();
    expect(await round()).toMatchObject({ failures: [], more: false });
    expect((await stored()).map(({ erased }) => erased)).toEqual([false]);
    // A minute passes.
    await store.sql`update tidemark.events set received_at = received_at - 62000000`;
    await store.sql`update tidemark.erasures set erased_through = erased_through - 62000000`;
    expect(await round()).toMatchObject({ failures: [], more: false });
    expect((await stored()).map(({ erased }) => erased)).toEqual([true]);
  });

  test('G5 deletes dead letters when they are too old, however many, and keeps their size', async () => {
    const deadLetters = createDeadLetters({ query: createQuery(store.sql) }, { bytesMax: 1e9 });
    await deadLetters.keep(Array.from({ length: 1_200 }, () => letter({ raw: 'old' })));
    await store.sql`update tidemark.dead_letters set rejected_at = rejected_at - 86400000001`;
    await deadLetters.keep([letter({ raw: 'new' })]);
    expect(await startUpkeep()()).toMatchObject({ failures: [], lettersDeleted: 0 });
    const round = startUpkeep({ deadLetterMicros: 86_400_000_000n });
    expect(await round()).toMatchObject({ failures: [], lettersDeleted: 1_200, more: false });
    const left = await deadLetters.list({}, { after: 0n, limit: 10, bytesMax: 1e6 });
    expect(left.map(({ raw }) => raw)).toEqual(['new']);
    const [total] = await store.sql<[{ letters: bigint; bytes: bigint }]>`
      select letters, bytes from tidemark.dead_letters_total`;
    expect(total).toEqual({ letters: 1n, bytes: 3n + 7n + 200n });
  });
});

describe('marks', () => {
  test('of erasures that nobody finished are found a minute later', async () => {
    const erasures = startErasures();
    await erasures.begin(streamId, 'a');
    expect(await findUnfinished(store.sql)).toBeUndefined();
    await store.sql`update tidemark.erasures set erased_through = erased_through - 62000000`;
    expect(await findUnfinished(store.sql)).toEqual({ streamId, key: 'a' });
    expect(await erasures.advance(streamId, 'a', 1_000)).toMatchObject({ done: true });
    expect(await findUnfinished(store.sql)).toBeUndefined();
  });

  test('G5 are bounded in number, but a key that has one can be erased again', async () => {
    const erasures = startErasures({ marksMax: 2 });
    expect(await erasures.begin(streamId, 'a')).toBe('begun');
    expect(await erasures.begin(streamId, 'b')).toBe('begun');
    expect(await erasures.begin(streamId, 'c')).toBe('full');
    expect(await erasures.begin(streamId, 'a')).toBe('begun');
    // A stream that was deleted after it was looked for.
    expect(await startErasures().begin(2_000_000_000, 'a')).toBe('gone');
  });

  test('are deleted when they are older than anything that could still come, and with their stream', async () => {
    await erase('old');
    await erase('new');
    await startErasures().begin(streamId, 'unfinished');
    await store.sql`update tidemark.erasures set erased_through = erased_through - ${401n * 86_400_000_000n} where key <> 'new'`;
    expect(await expireMarks(store.sql, 10)).toBe(1);
    expect(await startErasures().find(streamId, 'old')).toBeUndefined();
    expect(await startErasures().find(streamId, 'unfinished')).toBeDefined();
    await store.sql`select tidemark.delete_stream(${streamId})`;
    expect(await startErasures().advance(streamId, 'new', 0)).toBeUndefined();
  });
});
