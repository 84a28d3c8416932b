import { describe, expect, test } from 'vitest';
import {
  type Admission,
  type AdmissionOptions,
  createAdmission,
  type Ticket,
} from '../../../collector/src/ingest/admit.ts';
import { createFakeClock } from '../../harness/clock.ts';

function createCase(options: Partial<AdmissionOptions> = {}) {
  const clock = createFakeClock();
  let waitMs = 0;
  const admission = createAdmission({
    inflightBytesMax: 1_000,
    inflightRequestsMax: 4,
    queueAgeMsMax: 5_000,
    oldestWaitMs: () => waitMs,
    waitingRows: () => 0,
    waitingRowsMax: 100,
    monotonicMs: clock.monotonicMs,
    random: clock.random,
    ...options,
  });
  return {
    clock,
    admission,
    setWait: (ms: number) => {
      waitMs = ms;
    },
  };
}

function admitted(admission: Admission, bytes: number, keyId = 'key'): Ticket {
  const ticket = admission.admit(bytes, keyId);
  if (!ticket.admitted) throw new Error(`refused: ${ticket.detail}`);
  return ticket;
}

const held = ({ inflightBytes, inflightRequests }: Admission) => [inflightBytes, inflightRequests];

describe('G5 admission', () => {
  test('holds bytes up to the limit, to the byte, and takes on more when some are released', () => {
    const { admission } = createCase();
    const first = admitted(admission, 600);
    admitted(admission, 400);
    expect(admission.admit(1, 'key')).toEqual({
      admitted: false,
      detail: '1000 bytes are under way, the limit is 1000',
    });
    expect(held(admission)).toEqual([1_000, 2]);
    first.release('stored');
    expect(held(admission)).toEqual([400, 1]);
    expect(admission.admit(601, 'key').admitted).toBe(false);
    expect(admission.admit(600, 'key').admitted).toBe(true);
  });

  test('takes nothing on while the queue is full of rows, and looks again before rows are put in it', () => {
    const rows = new Map([
      ['first', 0],
      ['second', 0],
    ]);
    const { admission } = createCase({
      waitingRows: (keyId) =>
        keyId === undefined ? [...rows.values()].reduce((a, b) => a + b) : (rows.get(keyId) ?? 0),
    });
    const ticket = admitted(admission, 1, 'first');
    expect(ticket.mayWait(100)).toBe(true);
    // Somebody else was faster.
    rows.set('second', 60);
    expect(ticket.mayWait(0)).toBe(true);
    // A key that has nothing waiting always finds room for a batch while there is any.
    expect(ticket.mayWait(60)).toBe(true);
    rows.set('first', 39);
    expect([ticket.mayWait(2), admission.admit(1, 'first').admitted]).toEqual([false, false]);
    expect(admission.admit(1, 'third').admitted).toBe(true);
    expect(admission.pressure()).toBe(0.99);
    rows.set('first', 40);
    expect(ticket.mayWait(1)).toBe(false);
    expect(admission.admit(1, 'third')).toEqual({
      admitted: false,
      detail: '100 events wait to be written, the limit is 100, and others need room too',
    });
    expect(admission.pressure()).toBe(1);
    rows.set('second', 0);
    expect([ticket.mayWait(60), ticket.mayWait(61)]).toEqual([true, false]);
  });

  test('holds requests up to the limit, however small they are', () => {
    const { admission } = createCase();
    const tickets = [0, 1, 1, 1].map((bytes) => admitted(admission, bytes));
    expect(admission.admit(0, 'key')).toEqual({
      admitted: false,
      detail: '4 requests are under way, the limit is 4',
    });
    tickets[0]?.release('failed');
    expect(admission.admit(0, 'key').admitted).toBe(true);
  });

  test('refuses while the oldest batch has waited for too long', () => {
    const { admission, setWait } = createCase();
    setWait(5_000);
    expect(admission.admit(1, 'key').admitted).toBe(true);
    setWait(5_000.7);
    expect(admission.admit(1, 'key')).toEqual({
      admitted: false,
      detail: 'the oldest batch of this key has waited 5001 ms, the limit is 5000',
    });
    setWait(0);
    expect(admission.admit(1, 'key').admitted).toBe(true);
  });

  test('always takes on a lone request, however large it is', () => {
    const { admission } = createCase();
    const ticket = admitted(admission, 5_000);
    expect(admission.admit(0, 'key').admitted).toBe(false);
    ticket.release('stored');
    expect(held(admission)).toEqual([0, 0]);
  });

  test('counts bytes that were not announced as they come, and gives back all of them', () => {
    const { admission } = createCase();
    const announced = admitted(admission, 300);
    const chunked = admitted(admission, 0);
    expect(chunked.add(500)).toBe(true);
    expect(chunked.add(200)).toBe(true);
    expect(chunked.add(1)).toBe(false);
    expect(held(admission)).toEqual([1_000, 2]);
    announced.release('failed');
    expect(chunked.add(5_000)).toBe(true);
    chunked.release('failed');
    expect(held(admission)).toEqual([0, 0]);
  });

  test('a refusal holds nothing', () => {
    const { admission } = createCase();
    admitted(admission, 1_000);
    for (let turn = 0; turn < 10; turn++) admission.admit(100, 'key');
    expect(held(admission)).toEqual([1_000, 1]);
  });

  test('is settled when the last request has been answered', async () => {
    const { admission } = createCase();
    await admission.settled();
    const tickets = [admitted(admission, 1), admitted(admission, 1)];
    let settled = 0;
    const waits = [admission.settled(), admission.settled()].map((wait) => wait.then(() => (settled += 1)));
    tickets[0]?.release('stored');
    await Promise.resolve();
    expect(settled).toBe(0);
    tickets[1]?.release('failed');
    await Promise.all(waits);
    expect(settled).toBe(2);
  });
});

describe('a key that takes all it can get', () => {
  /** Takes on requests of this size until one is refused. */
  function flood(admission: Admission, keyId: string, bytes: number): Ticket[] {
    const tickets: Ticket[] = [];
    for (;;) {
      const ticket = admission.admit(bytes, keyId);
      if (!ticket.admitted) return tickets;
      tickets.push(ticket);
    }
  }
  const roomy = { inflightBytesMax: 90_000, inflightRequestsMax: 900_000 };

  test('leaves room for others, in bytes', () => {
    const { admission } = createCase(roomy);
    const first = flood(admission, 'first', 10);
    expect(admission.inflightBytes).toBe(80_000);
    expect(admission.admit(5_000, 'second').admitted).toBe(true);
    expect(admission.admit(10, 'first')).toEqual({
      admitted: false,
      detail: '80000 bytes of this key are under way, and others need room too',
    });
    for (const ticket of first) ticket.release('stored');
  });

  test('leaves room for others, in requests', () => {
    const { admission } = createCase({ inflightBytesMax: 90_000, inflightRequestsMax: 900 });
    flood(admission, 'first', 0);
    expect(admission.inflightRequests).toBe(800);
    expect(admission.admit(0, 'second').admitted).toBe(true);
    expect(admission.admit(0, 'first')).toMatchObject({
      detail: '800 requests of this key are under way, and others need room too',
    });
  });

  test('has as much as another that does the same, once what it took before is answered', () => {
    const { admission } = createCase(roomy);
    const held = new Map<string, Ticket[]>([['first', flood(admission, 'first', 100)]]);
    for (let turn = 0; turn < 2_000; turn++) {
      for (const keyId of ['second', 'first']) {
        const tickets = held.get(keyId) ?? [];
        tickets.shift()?.release('stored');
        held.set(keyId, [...tickets, ...flood(admission, keyId, 100)]);
      }
    }
    const [first = 0, second = 0] = ['first', 'second'].map((keyId) => held.get(keyId)?.length);
    expect(first + second).toBeGreaterThan(800);
    expect(Math.min(first, second) / Math.max(first, second)).toBeGreaterThan(0.9);
  });

  test('is refused for the age of its own batches, others are not', () => {
    const { admission } = createCase({ oldestWaitMs: (keyId) => (keyId === 'second' ? 10 : 9_000) });
    expect(admission.admit(1, 'first').admitted).toBe(false);
    expect(admission.admit(1, 'second').admitted).toBe(true);
  });

  test('may send chunked bodies no further either', () => {
    const { admission } = createCase(roomy);
    flood(admission, 'first', 10)[0]?.release('stored');
    const chunked = admitted(admission, 0, 'first');
    expect(chunked.add(10)).toBe(true);
    expect(chunked.add(10)).toBe(false);
    expect(admitted(admission, 0, 'second').add(9_000)).toBe(true);
  });
});

describe('pressure', () => {
  test('is the fullest of bytes, requests and age against their limits, from 0 to 1', () => {
    const { admission, setWait } = createCase();
    expect(admission.pressure()).toBe(0);
    const large = admitted(admission, 700);
    expect(admission.pressure()).toBe(0.7);
    admitted(admission, 0);
    admitted(admission, 0);
    large.release('stored');
    expect(admission.pressure()).toBe(0.5);
    setWait(4_500);
    expect(admission.pressure()).toBe(0.9);
    setWait(60_000);
    expect(admission.pressure()).toBe(1);
    setWait(0);
    admitted(admission, 90_000);
    expect(admission.pressure()).toBe(1);
  });
});

describe('the time after which to come back', () => {
  const megabyte = 1_000_000;

  /** Keeps 8 of 10 MB under way, and writes so many bytes a second for so long. */
  async function drainUnderLoad(
    { admission, clock }: ReturnType<typeof createCase>,
    bytesPerSecond: number,
    seconds: number,
  ) {
    const load = admitted(admission, 8 * megabyte);
    for (let turn = 0; turn < seconds * 10; turn++) {
      const ticket = admitted(admission, bytesPerSecond / 10);
      await clock.advance(100);
      ticket.release('stored');
    }
    return load;
  }
  const large = { inflightBytesMax: 10 * megabyte, inflightRequestsMax: 100 };
  const extremes = ({ admission }: ReturnType<typeof createCase>) => {
    const times = Array.from({ length: 1_000 }, () => admission.retryAfterMs());
    return { shortest: Math.min(...times), longest: Math.max(...times), different: new Set(times).size };
  };

  test('is spread over 1 s to 2 s when nothing is under way', () => {
    const { shortest, longest, different } = extremes(createCase());
    expect(shortest).toBeGreaterThanOrEqual(1_000);
    expect(shortest).toBeLessThan(1_050);
    expect(longest).toBeLessThanOrEqual(2_000);
    expect(longest).toBeGreaterThan(1_950);
    expect(different).toBeGreaterThan(500);
  });

  test('is what the backlog takes at the rate at which it was drained lately, to twice that', async () => {
    const slow = createCase(large);
    await drainUnderLoad(slow, megabyte, 30);
    expect(slow.admission.inflightBytes).toBe(8 * megabyte);
    const atOne = extremes(slow);
    expect(atOne.shortest / 8_000).toBeCloseTo(1, 1);
    expect(atOne.longest / 16_000).toBeCloseTo(1, 1);

    const fast = createCase({ ...large, inflightBytesMax: 12 * megabyte });
    await drainUnderLoad(fast, 4 * megabyte, 30);
    const atFour = extremes(fast);
    expect(atFour.shortest / 2_000).toBeCloseTo(1, 1);
    expect(atFour.longest / 4_000).toBeCloseTo(1, 1);
  });

  test('follows the rate within seconds when the store slows down', async () => {
    const world = createCase(large);
    const load = await drainUnderLoad(world, 2 * megabyte, 10);
    const before = extremes(world).shortest;
    load.release('failed');
    await drainUnderLoad(world, 0.5 * megabyte, 10);
    expect(extremes(world).shortest / before).toBeGreaterThan(3);
  });

  test('never passes 60 s, also when nothing is drained at all', async () => {
    const world = createCase(large);
    await drainUnderLoad(world, 0, 60);
    const { shortest, longest } = extremes(world);
    expect(shortest).toBeGreaterThanOrEqual(30_000);
    expect(longest).toBeLessThanOrEqual(60_000);
    expect(longest).toBeGreaterThan(58_000);
  });

  test('does not grow while little or nothing comes: that is no slow store', async () => {
    const world = createCase(large);
    (await drainUnderLoad(world, 4 * megabyte, 10)).release('stored');
    for (let turn = 0; turn < 100; turn++) {
      const ticket = admitted(world.admission, 500);
      await world.clock.advance(3);
      ticket.release('stored');
      await world.clock.advance(10_000);
    }
    admitted(world.admission, 8 * megabyte);
    expect(extremes(world).shortest).toBeLessThan(2_500);
  });
});
