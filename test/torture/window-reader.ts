import { setTimeout as sleep } from 'node:timers/promises';
import { type Window, type WindowsPage } from '@tidemark/core/wire';
import type { Random } from '../harness/seed.ts';
import { windowMicros } from './check-windows.ts';
import { type Ending, startClient } from './ending.ts';
import type { SeenWindow } from './history.ts';
import { micros, UnavailableError, UnexpectedAnswerError } from './http.ts';
import type { Reader, ReaderOptions } from './readers.ts';
import { nowMs, type StreamRecord } from './record.ts';

/** A client that follows the windows of a stream, any number at a time, and now and then goes back to see whether they are still the same. */
export function startWindowReader(
  { http, collectors, onSurprise }: Omit<ReaderOptions, 'resume'>,
  stream: StreamRecord,
  name: string,
  random: Random,
): Reader {
  let record = stream.windows(name, true);
  let place: string | undefined;
  let kept: string | undefined;

  async function follow(ending: Ending): Promise<void> {
    while (!ending.signal.aborted) {
      const page = await readOne(ending);
      if (page === undefined) {
        await sleep(20 + random.below(80));
        continue;
      }
      const answeredMs = nowMs();
      record.add(page.windows.map((window) => seenWindow(window, answeredMs)));
      place = page.nextCursor;
      const isDone = page.windows.length === 0 && ending.target !== undefined;
      if (isDone && micros(page.completeThrough) > (ending.target ?? 0n)) return;
      if (ending.target === undefined) await wander();
    }
  }

  async function readOne({ target, signal }: Ending): Promise<WindowsPage | undefined> {
    const collector = collectors[random.below(collectors.length)];
    if (collector === undefined) throw new Error('there is no collector');
    const waitSeconds = target === undefined ? random.below(3) : 0;
    const query = new URLSearchParams({
      size: `${windowMicros / 1_000_000n}s`,
      groupBy: 'name',
      sum: 'props.number',
      limit: String(target === undefined ? 1 + random.below(20) : 1_000),
      wait: String(waitSeconds),
      ...(place === undefined ? { from: 'earliest' } : { cursor: place }),
    });
    const patience = AbortSignal.timeout(waitSeconds * 1_000 + 1_000 + random.below(3_000));
    const path = `/v1/streams/${stream.name}/windows?${query.toString()}`;
    try {
      const ended = AbortSignal.any([signal, patience]);
      const answer = await http.call<WindowsPage>('GET', collector.url, path, undefined, ended);
      if (answer.status === 200) return answer.body;
      throw new UnexpectedAnswerError(`GET ${path}: 409 ${answer.body.code}`);
    } catch (error) {
      if (!(error instanceof UnavailableError)) onSurprise(error);
      return undefined;
    }
  }

  async function wander(): Promise<void> {
    const dice = random.number();
    if (dice < 0.15) kept = place;
    else if (dice < 0.25) {
      place = kept;
      record = stream.windows(name, place === undefined);
    } else if (dice > 0.7) await sleep(random.below(300));
  }

  return startClient(name, follow);
}

function seenWindow(window: Window, answeredMs: number): SeenWindow {
  const bounds = { answeredMs, start: micros(window.start), end: micros(window.end) };
  if ('empty' in window) return { ...bounds, panes: [] };
  const panes = window.panes.map(({ windowStart, timing, count, sum }) => {
    return { windowStart: micros(windowStart), late: timing === 'late', count, sum };
  });
  return { ...bounds, panes };
}
