import { setTimeout as sleep } from 'node:timers/promises';
import type { Sql } from '../../collector/src/store/database.ts';
import type { Interval } from './history.ts';
import { nowMs, type StreamRecord } from './record.ts';

/** Looks at the watermarks in the database a few times a second, and notes when everything needed runs. */
export interface Watch {
  /** Watermarks of this stream are written down from now on. */
  follow(stream: StreamRecord): void;
  postgres(running: boolean): void;
  collector(name: string, running: boolean): void;
  /** While Postgres and at least one collector ran, up to now. */
  live(): readonly Interval[];
  stop(): Promise<void>;
}

const intervalMs = 200;

export function startWatch(sql: Sql): Watch {
  const streams = new Map<string, StreamRecord>();
  const running = new Set<string>();
  const intervals: Interval[] = [];
  let postgresRuns = true;
  let sinceMs: number | undefined;
  let stopped = false;

  function note(): void {
    const live = postgresRuns && running.size > 0;
    if (live && sinceMs === undefined) sinceMs = nowMs();
    if (!live && sinceMs !== undefined) {
      intervals.push({ fromMs: sinceMs, toMs: nowMs() });
      sinceMs = undefined;
    }
  }

  async function look(): Promise<void> {
    const askedMs = nowMs();
    const rows = await sql<{ name: string; watermark: bigint }[]>`
      select name, tidemark.watermark(streams, f.published) as watermark from tidemark.streams, tidemark.fence f`;
    const answeredMs = nowMs();
    for (const { name, watermark } of rows)
      streams.get(name)?.samples.push({ askedMs, answeredMs, watermark });
  }

  async function run(): Promise<void> {
    while (!stopped) {
      // Postgres may be away just now: what it said before stands.
      await look().catch(() => undefined);
      await sleep(intervalMs);
    }
  }

  const looking = run();
  return {
    follow: (stream) => void streams.set(stream.name, stream),
    postgres(runs) {
      postgresRuns = runs;
      note();
    },
    collector(name, runs) {
      if (runs) running.add(name);
      else running.delete(name);
      note();
    },
    live: () => (sinceMs === undefined ? intervals : [...intervals, { fromMs: sinceMs, toMs: nowMs() }]),
    async stop() {
      stopped = true;
      await looking;
    },
  };
}
