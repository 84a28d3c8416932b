import type { Sql } from '../../collector/src/store/database.ts';
import { formatTime } from '@tidemark/core/wire';
import type { Kind } from './finding.ts';
import { type Edit, editFunction, lockStatement, type Pause, type PausePoint } from './outside.ts';
import { type Resume, resumeAtNextCursor } from './readers.ts';

/** A known mistake, put in from outside, and what the checker has to say about it. */
export interface Variant {
  readonly name: string;
  readonly mistake: string;
  /** One of these has to be found. None: it is the product itself, and nothing may be found. */
  readonly expected: readonly Kind[];
  /** Puts it in; answers with how to take it out again. */
  readonly putIn: (sql: Sql) => Promise<() => Promise<void>>;
  /** Some appends pause, and the window that the mistake opens is wider. */
  readonly pauses: readonly Pause[];
  /** How often of 100 requests a batch is sent to two collectors at once. */
  readonly twinPercent: number;
  /** The database's clock is an hour behind where it was. */
  readonly clockStepsBack: boolean;
  readonly resume: Resume;
  /** Settings of the collectors' database connections. */
  readonly connection: Readonly<Record<string, string>>;
}

/** Longer than from one tick of the advancer to the next. */
const longer = (at: PausePoint): Pause => ({ at, ms: 150, share: 0.25 });

const base = {
  expected: ['skipped', 'belowWatermark'],
  pauses: [],
  twinPercent: 5,
  clockStepsBack: false,
  resume: resumeAtNextCursor,
  connection: {},
} satisfies Partial<Variant>;

const edited =
  (name: string, edits: readonly Edit[]) =>
  (sql: Sql): Promise<() => Promise<void>> =>
    editFunction(sql, name, edits);

const noFence: Variant = {
  ...base,
  name: 'no fence',
  mistake: 'append takes no lock',
  putIn: edited('append', [[lockStatement, '']]),
  pauses: [longer('placed')],
};

/** Every statement sees what was committed before it began: the floor is older than the lock. */
const oneStatement: Variant = {
  ...base,
  name: 'one statement',
  mistake: 'append takes its locks and reads the floor in one statement',
  putIn: edited('append', [
    [lockStatement, ''],
    [
      'FROM tidemark.fence f;',
      `FROM tidemark.fence f, (
        SELECT count(torture.pause('begin', row_streams)) + count(pg_advisory_xact_lock_shared(1953064291, s.stream_id)) AS taken
        FROM (SELECT DISTINCT r.stream_id FROM unnest(row_streams) r (stream_id) ORDER BY 1) s
      ) locks WHERE locks.taken >= 0;`,
    ],
  ]),
  pauses: [longer('begin')],
  clockStepsBack: true,
};

/** As before: the snapshot of the first statement is that of all. */
const repeatableRead: Variant = {
  ...base,
  name: 'REPEATABLE READ',
  mistake: 'append runs at REPEATABLE READ and does not refuse it',
  putIn: edited('append', [[/<> 'read committed'/, "= 'serializable'"]]),
  pauses: [longer('begin')],
  clockStepsBack: true,
  connection: { default_transaction_isolation: 'repeatable read' },
};

const clockTwice: Variant = {
  ...base,
  name: 'clock read twice',
  mistake: 'append compares one reading of the clock with the floor and places events by another, older one',
  putIn: edited('append', [
    [/arrival bigint;/, '$& stamp bigint := tidemark.clock();'],
    [
      'least(r.event_time, arrival), arrival - s.watermark_delay',
      'least(r.event_time, stamp), stamp - s.watermark_delay',
    ],
  ]),
  pauses: [longer('begin')],
};

const dateCursor: Variant = {
  ...base,
  name: 'Date cursor',
  mistake: 'a reader keeps its place in a JavaScript Date',
  expected: ['repeated'],
  putIn: async () => async () => undefined,
  resume: (page) => {
    const last = page.events.at(-1);
    if (last === undefined) return undefined;
    const place = new Date(Number(last.orderTime / 1_000n));
    return { from: formatTime(BigInt(place.getTime()) * 1_000n) };
  },
};

/** Days are short here. */
const dayMicros = 50_000;

const neighbourClaim: Variant = {
  ...base,
  name: 'neighbouring claim',
  mistake: 'claims are unique within their day only, and those of other days are looked for by SELECT',
  expected: ['storedTwice'],
  putIn: async (sql) => {
    await sql.unsafe(`create table torture.claims (
      day bigint, stream_id integer, claim uuid, seq bigint, order_time bigint, primary key (day, stream_id, claim))`);
    const takeOut = await editFunction(sql, 'append', [
      [
        /INSERT INTO tidemark\.claims \(([\w, ]*)\bclaimed_on\)/g,
        (text) => text.replace('tidemark', 'torture').replace('claimed_on', 'day'),
      ],
      [/arrival \/ 86400000000/g, `arrival / ${dayMicros}`],
      [
        /(?=ORDER BY r\.stream_id, r\.claim, r\.position)/g,
        `WHERE NOT EXISTS (
          SELECT FROM torture.claims c
          WHERE c.stream_id = r.stream_id AND c.claim = r.claim AND c.day <> arrival / ${dayMicros}
        ) `,
      ],
      ['FROM tidemark.claims c', 'FROM torture.claims c'],
    ]);
    return async () => {
      await takeOut();
      await sql.unsafe('drop table torture.claims');
    };
  },
  pauses: [{ at: 'stored', ms: 40, share: 1 }],
  twinPercent: 60,
};

const noWait: Variant = {
  ...base,
  name: 'no wait',
  mistake: 'the advancer sees no holders and publishes at once',
  putIn: edited('holders', [[/AND granted\b/, 'AND granted AND false']]),
  pauses: [longer('placed')],
};

/** Holders are told apart by their stream only: the next one is taken for the one before, and waiting never ends. */
const waitsAnew: Variant = {
  ...base,
  name: 'waits anew',
  mistake: 'the advancer waits until a stream has no holder, instead of for the holders it saw',
  expected: ['stuck'],
  putIn: edited('holders', [['virtualtransaction', "'any/' || objid"]]),
  pauses: [{ at: 'stored', ms: 400, share: 1 }],
};

/** What each of them needs, at once, and no mistake. */
export const control: Variant = {
  ...base,
  name: 'the product',
  mistake: 'none',
  expected: [],
  putIn: async () => async () => undefined,
  pauses: [longer('begin'), longer('placed'), { at: 'stored', ms: 40, share: 1 }],
  twinPercent: 60,
  clockStepsBack: true,
};

export const wrongVariants: readonly Variant[] = [
  noFence,
  oneStatement,
  repeatableRead,
  clockTwice,
  dateCursor,
  neighbourClaim,
  noWait,
];

/** It takes more than ten seconds to see that something is stuck. */
export const slowVariants: readonly Variant[] = [waitsAnew];

/** Is found by how long writers wait, not by what is read. */
export const exclusiveLock = edited('append', [[/pg_advisory_xact_lock_shared\(/, 'pg_advisory_xact_lock(']]);
