import { describe, expect, test } from 'vitest';
import { check, type Verdict } from '../../torture/check.ts';
import { checkWindows } from '../../torture/check-windows.ts';
import type { Kind } from '../../torture/finding.ts';
import type {
  Chain,
  History,
  SeenEvent,
  SeenWindow,
  SentEvent,
  StreamHistory,
  WorkedPage,
} from '../../torture/history.ts';

// Histories made by hand: each check is shown the mistake it is there for.

describe('the checker of torture runs', () => {
  test('finds nothing in a run in which all went well', () => {
    expect(check(history({}))).toMatchObject({ findings: [], stallMs: 100 });
  });

  test('G1 finds an acknowledged event that cannot be read, once everything has been given time', () => {
    const stream = { sent: [...sent, { ...event(5), sentMs: 1, acknowledgedMs: 2 }] };
    expect(kindsIn(history(stream))).toEqual(['lost']);
    expect(kindsIn({ ...history(stream), complete: false })).toEqual([]);
  });

  test('an event that was never acknowledged may be stored or not', () => {
    const unknown = { ...event(5), sentMs: 1, acknowledgedMs: undefined };
    expect(kindsIn(history({ sent: [...sent, unknown] }))).toEqual([]);
    const read = chain([...seen, seenEvent(5)]);
    expect(kindsIn(history({ sent: [...sent, unknown], full: read, chains: [read], rows: 5 }))).toEqual([]);
  });

  test('G2 finds an event that is stored twice', () => {
    const twice = chain([
      ...seen,
      { ...seenEvent(5), id: 'e1', number: 1, eventTime: 100n, orderTime: 500n },
    ]);
    const found = kindsIn(history({ full: twice, chains: [twice], rows: 5 }));
    expect(found).toContain('storedTwice');
  });

  test('finds events that nobody sent, or only in bodies that were cut in the middle', () => {
    const more = chain([...seen, seenEvent(5)]);
    expect(kindsIn(history({ full: more, chains: [more], rows: 5 }))).toEqual(['neverSent']);
    const cut = { ...event(5), sentMs: undefined, acknowledgedMs: undefined };
    expect(kindsIn(history({ sent: [...sent, cut], full: more, chains: [more], rows: 5 }))).toEqual([
      'neverSent',
    ]);
  });

  test('finds events that come back with other props or another time', () => {
    const otherProps = chain(seen.with(1, { ...seenEvent(2), number: 7 }));
    expect(kindsIn(history({ full: otherProps, chains: [otherProps] }))).toEqual(['altered']);
    const otherTime = chain(seen.with(1, { ...seenEvent(2), eventTime: 201n, orderTime: 201n }));
    expect(kindsIn(history({ full: otherTime, chains: [otherTime] }))).toEqual(['altered']);
  });

  test('finds rows that no reader gets', () => {
    expect(kindsIn(history({ rows: 5 }))).toEqual(['hidden']);
  });

  test('G6 finds an event that a reader was not given, and says when the reader had passed it', () => {
    const gap = chain([seenEvent(1), seenEvent(2), seenEvent(4)], { pageSize: 1 });
    const verdict = check(history({ chains: [gap] }));
    expect(kindsOf(verdict)).toEqual(['skipped']);
    expect(verdict.findings[0]?.atMs).toBe(pageMs(2));
  });

  test('G6 finds what became readable behind an empty page', () => {
    const empty = { reader: 'tail', start: '', pages: [{ answeredMs: 1, events: [], next: place(350) }] };
    expect(kindsIn(history({ chains: [empty] }))).toEqual(['skipped', 'skipped', 'skipped']);
  });

  test('G6 asks of a chain only what lies between its start and its end', () => {
    const part = { ...chain(seen.slice(1, 3)), start: place(100) };
    expect(kindsIn(history({ chains: [part] }))).toEqual([]);
    const unread: Chain = { reader: 'tail', start: place(100), pages: [] };
    expect(kindsIn(history({ chains: [unread] }))).toEqual([]);
  });

  test('G6 finds an event that a reader was given twice', () => {
    const again = chain([seenEvent(1), seenEvent(2), seenEvent(2), seenEvent(3), seenEvent(4)], {
      pageSize: 2,
    });
    expect(kindsIn(history({ chains: [again] }))).toEqual(['repeated']);
  });

  test('G6 finds events that come in another order than that of the stream', () => {
    const swapped = chain([seenEvent(1), seenEvent(3), seenEvent(2), seenEvent(4)]);
    expect(kindsIn(history({ chains: [swapped] }))).toEqual(['outOfOrder']);
  });

  test('G6 finds a nextCursor that leads back', () => {
    const back: Chain = {
      reader: 'tail',
      start: '',
      pages: [...chain(seen).pages, { answeredMs: 9, events: [], next: place(300) }],
    };
    expect(kindsIn(history({ chains: [back] }))).toEqual(['outOfOrder']);
  });

  test('G7 finds readers that were given different things at the same place', () => {
    const other = chain(seen.with(2, { ...seenEvent(3), id: 'e2' }));
    expect(kindsIn(history({ chains: [other] }))).toEqual(['disagreed']);
    const gone = chain([...seen.slice(0, 2), { ...seenEvent(3), cursor: place(250) }, seenEvent(4)]);
    expect(kindsIn(history({ chains: [gone] }))).toEqual(['disagreed', 'skipped']);
  });

  test('G7 finds an event that does not stand at its event time though it came in time', () => {
    const moved = { ...seenEvent(2), orderTime: 150n, cursor: place(150) };
    const full = chain(seen.with(1, moved));
    const exact = { from: 300n, to: 400n };
    const told = sent.map((one) => ({ ...one, stored: exact }));
    expect(kindsIn(history({ sent: told, full, chains: [full] }))).toEqual([]);
    const far = { from: 1_000_000n, to: 1_000_400n };
    const farSent = sent.map((one) => ({ ...one, stored: far }));
    expect(kindsIn(history({ sent: farSent, delay: 500n, full, chains: [full] }))).toContain('misplaced');
  });

  test('G7 finds an event below a watermark that was told before it was sent', () => {
    const told = [{ askedMs: 0, answeredMs: 1, watermark: 250n }];
    const later = sent.map((one) => ({ ...one, sentMs: one.id === 'e2' ? 2 : 0 }));
    expect(kindsIn(history({ sent: later, told, samples: [] }))).toEqual(['belowWatermark']);
  });

  test('G7 finds a watermark that goes back for one who asks later, not for one who asked before', () => {
    const high = { askedMs: 1, answeredMs: 3, watermark: 90n };
    const low = { askedMs: 2, answeredMs: 4, watermark: 80n };
    expect(kindsIn(history({ told: [high, low], samples: [] }))).toEqual([]);
    expect(kindsIn(history({ told: [high, { ...low, askedMs: 3.5 }], samples: [] }))).toEqual([
      'watermarkWentBack',
    ]);
  });

  test('G8 finds flags that do not fit the times', () => {
    const late = { ...seenEvent(2), eventTime: 200n, orderTime: 1_300n, cursor: place(1_300) };
    const three = [seenEvent(1), seenEvent(3), seenEvent(4)];
    const flagged = (flags: Partial<SeenEvent>) => {
      const full = chain([...three, { ...late, ...flags }]);
      return kindsIn(history({ full, chains: [full] }));
    };
    expect(flagged({ late: true, lateByMs: 2 })).toEqual([]);
    expect(flagged({ late: true, lateByMs: 1 })).toEqual(['wronglyLate']);
    expect(flagged({ late: false, lateByMs: 0 })).toEqual(['wronglyLate']);
  });

  test('G9 finds a watermark that stands still for more than 10 s while everything needed runs', () => {
    const samples = [0, 1_000, 12_500, 13_000].map((ms, at) => sample(ms, at === 1 ? 0n : BigInt(at)));
    const live = (...intervals: [number, number][]) => intervals.map(([fromMs, toMs]) => ({ fromMs, toMs }));
    const run = history({ samples });
    expect(kindsIn({ ...run, live: live([0, 13_000]) })).toEqual(['stuck']);
    expect(kindsIn({ ...run, live: live([0, 5_000], [6_000, 13_000]) })).toEqual([]);
    expect(kindsIn({ ...run, live: live([0, 30_000]) })).toEqual(['stuck']);
    expect(kindsIn({ ...run, live: live([1_500, 12_000]) })).toEqual(['stuck']);
  });

  test('G9 measures how soon events could be read, in calm times only', () => {
    const stored = { from: 0n, to: 10_000n };
    const one = { ...event(1), sentMs: 0, acknowledgedMs: 10, stored };
    const read = { ...chain([seenEvent(1)]), pages: [{ ...page([seenEvent(1)]), answeredMs: 1_400 }] };
    const run = history({ sent: [one], delay: 200_000n, full: read, chains: [read], rows: 1 });
    const measured = (toMs: number) => check({ ...run, calm: [{ fromMs: 0, toMs }] }).freshness;
    expect(measured(5_000)).toEqual({ measured: 1, worstMs: expect.closeTo(1_199.9, 1), over: 1 });
    expect(measured(1_000)).toEqual({ measured: 0, worstMs: 0, over: 0 });
  });
});

describe('the checker of consumers', () => {
  const worked = (from: number, to: number, change: Partial<WorkedPage> = {}): WorkedPage => ({
    shard: 0,
    member: 'a',
    from: place(from * 100),
    certain: true,
    answeredMs: 20 + to,
    events: seen.slice(from, to),
    next: place(to * 100),
    ...change,
  });
  const kindsOfWork = (pages: readonly WorkedPage[], end = 4): Kind[] =>
    kindsIn(history({ consumers: [{ consumer: 'c', starts: [place(0)], ends: [place(end * 100)], pages }] }));

  test('finds nothing where committed pages follow each other, with or without an answer, whoever committed them', () => {
    expect(kindsOfWork([worked(0, 2), worked(2, 4, { member: 'b' })])).toEqual([]);
    expect(kindsOfWork([worked(0, 2, { certain: false }), worked(2, 4)])).toEqual([]);
    // Neither has an answer: the place of the next one tells which of them took place.
    expect(
      kindsOfWork([
        worked(0, 1, { certain: false }),
        worked(0, 3, { certain: false, member: 'b' }),
        worked(3, 4),
      ]),
    ).toEqual([]);
    expect(kindsOfWork([worked(0, 2)], 2)).toEqual([]);
  });

  test('G6 finds a commit by somebody who had lost the shard', () => {
    expect(kindsOfWork([worked(0, 2), worked(0, 3, { member: 'stopped' }), worked(2, 4)])).toEqual([
      'repeated',
    ]);
  });

  test('G6 finds events that were passed without being worked on', () => {
    expect(kindsOfWork([worked(0, 2), worked(2, 4, { events: seen.slice(3, 4) })])).toEqual(['skipped']);
    expect(kindsOfWork([worked(0, 2)])).toContain('skipped');
  });

  test('G6 finds events that two shards were given, and such as nobody else has', () => {
    const both = { consumer: 'c', starts: [place(0), place(0)], ends: [place(400), place(400)] };
    const pages = [worked(0, 4), worked(0, 4, { shard: 1, events: seen.slice(0, 1) })];
    expect(kindsIn(history({ consumers: [{ ...both, pages }] }))).toEqual(['repeated']);
    const other = seen.with(1, { ...seenEvent(2), id: 'other' });
    expect(kindsOfWork([worked(0, 4, { events: other })])).toEqual(['disagreed']);
  });
});

describe('the checker of windows', () => {
  const second = 1_000_000n;
  const at = (number: number, orderTime: bigint, eventTime = orderTime): SeenEvent => ({
    ...seenEvent(number),
    orderTime,
    eventTime,
    late: eventTime < orderTime,
    lateByMs: Number((orderTime - eventTime + 999n) / 1_000n),
  });
  const events = [at(1, 100n), at(2, 200n), at(3, second + 5n), at(4, second + 6n, 300n)];
  const full = chain(events);
  const pane = (windowStart: bigint, count: number, sum: number, late = false) => ({
    windowStart,
    count,
    sum,
    late,
  });
  const right: readonly SeenWindow[] = [
    { answeredMs: 1, start: 0n, end: second, panes: [pane(0n, 2, 3)] },
    {
      answeredMs: 2,
      start: second,
      end: 2n * second,
      panes: [pane(second, 1, 3), pane(0n, 1, 4, true)],
    },
    { answeredMs: 3, start: 2n * second, end: 90n * second, panes: [] },
  ];
  const kindsOfWindows = (
    windows: readonly SeenWindow[],
    fromEarliest = true,
    more: readonly SeenWindow[] = [],
  ) =>
    checkWindows({
      full,
      windows: [
        { reader: 'reader', fromEarliest, windows },
        { reader: 'another', fromEarliest: false, windows: more },
      ],
    }).map(({ kind }) => kind);

  test('finds nothing where every window holds what a batch counts', () => {
    expect(kindsOfWindows(right, true, right.slice(1))).toEqual([]);
  });

  test('G11 finds a late event that was added to the window that was given before, or to none', () => {
    const [first, next] = [right[0], right[1]];
    if (first === undefined || next === undefined) throw new Error('no windows');
    expect(kindsOfWindows([first, { ...next, panes: [pane(second, 1, 3)] }])).toEqual(['miscounted']);
    expect(kindsOfWindows([{ ...first, panes: [pane(0n, 3, 7)] }])).toEqual(['miscounted']);
    expect(kindsOfWindows([first], true, [{ ...first, panes: [pane(0n, 3, 7)] }])).toEqual([
      'changed',
      'miscounted',
    ]);
  });

  test('G11 finds windows that were left out, given again or wrongly called empty', () => {
    expect(kindsOfWindows([right[0], right[2]].flatMap((one) => one ?? []))).toEqual(['miscounted']);
    expect(kindsOfWindows([right[0], right[0]].flatMap((one) => one ?? []))).toEqual(['miscounted']);
    expect(kindsOfWindows(right.slice(1))).toEqual(['miscounted']);
    expect(kindsOfWindows(right.slice(1), false)).toEqual([]);
    const empty = { answeredMs: 1, start: 0n, end: 90n * second, panes: [] };
    expect(kindsOfWindows([empty])).toEqual(['miscounted']);
  });
});

function kindsIn(run: History): Kind[] {
  return kindsOf(check(run));
}

function kindsOf(verdict: Verdict): Kind[] {
  return verdict.findings.map(({ kind }) => kind).sort();
}

// Four events that happened at 100, 200, 300 and 400 and came in time.

function event(number: number): SentEvent {
  return {
    id: `e${number}`,
    number,
    occurredAt: BigInt(number * 100),
    sentMs: 0,
    acknowledgedMs: 1,
    stored: undefined,
  };
}

function seenEvent(number: number): SeenEvent {
  const time = BigInt(number * 100);
  const cursor = place(number * 100);
  return { id: `e${number}`, number, cursor, orderTime: time, eventTime: time, late: false, lateByMs: 0 };
}

function place(time: number): string {
  return String(time).padStart(10, '0');
}

function page(events: readonly SeenEvent[], at = 0) {
  return { answeredMs: pageMs(at), events, next: events.at(-1)?.cursor ?? '' };
}

function pageMs(at: number): number {
  return 10 + at;
}

function chain(events: readonly SeenEvent[], { pageSize = 100 } = {}): Chain {
  const pages = [];
  for (let at = 0; at < events.length; at += pageSize) {
    pages.push(page(events.slice(at, at + pageSize), at / pageSize));
  }
  return { reader: 'reader', start: '', pages };
}

function sample(ms: number, watermark: bigint) {
  return { askedMs: ms, answeredMs: ms, watermark };
}

const sent = [1, 2, 3, 4].map(event);
const seen = [1, 2, 3, 4].map(seenEvent);

function history(stream: Partial<Omit<StreamHistory, 'sent'>> & { sent?: readonly SentEvent[] }): History {
  const { sent: events = sent, ...rest } = stream;
  return {
    streams: [
      {
        name: 'stream',
        delay: 1_000_000n,
        sent: new Map(events.map((one) => [one.id, one])),
        chains: [chain(seen), chain(seen, { pageSize: 1 })],
        full: chain(seen),
        consumers: [],
        windows: [],
        rows: undefined,
        told: [],
        samples: [sample(0, 0n), sample(100, 1n), sample(200, 2n)],
        ...rest,
      },
    ],
    live: [{ fromMs: 0, toMs: 200 }],
    calm: [],
    complete: true,
  };
}
