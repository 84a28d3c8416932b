import { performance } from 'node:perf_hooks';
import type { Clockwork } from './clockwork.ts';
import type {
  Chain,
  ConsumerWork,
  SeenEvent,
  SeenPage,
  SeenWindow,
  SentEvent,
  StreamHistory,
  Told,
  WindowChain,
} from './history.ts';

/** The harness' own monotonic clock, milliseconds. */
export const nowMs = (): number => performance.now();

/** Writes down what happens to one stream. */
export interface StreamRecord {
  readonly name: string;
  readonly samples: Told[];
  /** A new event, not sent yet. `occurredAt` undefined: it will be sent without a time. */
  make(id: string, number: number, occurredAt: bigint | undefined): Sending;
  chain(reader: string, start: string): ChainRecord;
  consumer(work: ConsumerWork): void;
  windows(reader: string, fromEarliest: boolean): WindowsRecord;
  told(askedMs: number, watermark: bigint): void;
  readonly counts: {
    readonly sent: number;
    readonly acknowledged: number;
    readonly read: number;
    /** Events that members of consumers committed. */
    readonly worked: number;
    /** Panes of windows that were read. */
    readonly panes: number;
  };
  /** What is known of it now. */
  history(full: Chain, rows: number | undefined): StreamHistory;
}

/** An event on its way. */
export interface Sending {
  readonly id: string;
  readonly number: number;
  readonly occurredAt: bigint | undefined;
  /** A request that holds it whole begins now. */
  sent(): void;
  /** A reply says that it is stored; or, as it says nothing of when that will be in Postgres, that it is in a spool. */
  acknowledged(durability: 'committed' | 'spooled'): void;
}

export interface ChainRecord {
  page(page: { events: readonly SeenEvent[]; next: string }): void;
}

export interface WindowsRecord {
  add(windows: readonly SeenWindow[]): void;
}

/** `delay` in microseconds; undefined: it will be changed. */
export function recordStream(name: string, delay: bigint | undefined, clockwork: Clockwork): StreamRecord {
  const events = new Map<string, SentEvent>();
  const chains: Chain[] = [];
  const consumers: ConsumerWork[] = [];
  const windowChains: WindowChain[] = [];
  const watermarks: Told[] = [];
  const samples: Told[] = [];
  const counts = { sent: 0, acknowledged: 0, read: 0, worked: 0, panes: 0 };

  return {
    name,
    samples,
    counts,

    make(id, number, occurredAt) {
      let present: SentEvent = {
        id,
        number,
        occurredAt,
        sentMs: undefined,
        acknowledgedMs: undefined,
        stored: undefined,
      };
      let since: ReturnType<Clockwork['read']> | undefined;
      const update = (change: Partial<SentEvent>): void => {
        present = { ...present, ...change };
        events.set(id, present);
      };
      update({});
      return {
        id,
        number,
        occurredAt,
        sent() {
          if (present.sentMs !== undefined) return;
          since = clockwork.read();
          counts.sent += 1;
          update({ sentMs: nowMs() });
        },
        acknowledged(durability) {
          if (present.acknowledgedMs !== undefined) return;
          const now = clockwork.read();
          counts.acknowledged += 1;
          const even = durability === 'committed' && since !== undefined && since.era === now.era && now.even;
          const stored = even && since !== undefined ? { from: since.micros, to: now.micros } : undefined;
          update({ acknowledgedMs: nowMs(), stored });
        },
      };
    },

    chain(reader, start) {
      const pages: SeenPage[] = [];
      chains.push({ reader, start, pages });
      return {
        page({ events: seen, next }) {
          counts.read += seen.length;
          const page = { answeredMs: nowMs(), events: seen, next };
          const before = pages.at(-1);
          // Of many empty pages one after the other the last one says it all.
          const replace = seen.length === 0 && before?.events.length === 0 && next >= before.next;
          if (replace) pages[pages.length - 1] = page;
          else pages.push(page);
        },
      };
    },

    consumer(work) {
      consumers.push(work);
      for (const { events: worked } of work.pages) counts.worked += worked.length;
    },

    windows(reader, fromEarliest) {
      const windows: SeenWindow[] = [];
      windowChains.push({ reader, fromEarliest, windows });
      return {
        add(more) {
          windows.push(...more);
          for (const { panes } of more) counts.panes += panes.length;
        },
      };
    },

    told(askedMs, watermark) {
      watermarks.push({ askedMs, answeredMs: nowMs(), watermark });
    },

    history: (full, rows) => ({
      name,
      delay,
      sent: events,
      chains,
      consumers,
      windows: windowChains,
      full,
      rows,
      told: watermarks,
      samples,
    }),
  };
}
