import cluster from 'node:cluster';
import { banner, keyLines } from '../banner.ts';
import { readCertificate } from '../http/certificate.ts';
import { createCount } from './count.ts';
import type { News } from './messages.ts';
import { findDatabase, prepare, prepareLater, type RunParts } from './prepare.ts';
import { aborted } from './serve.ts';
import { shareOf } from './share.ts';
import { startStaff, type Worker, WorkerError } from './staff.ts';

/**
 * Several collectors on one port. This process takes no requests: it has the database migrated and the keys made, once, starts the workers, and
 * starts others in the place of those that end. It accepts connections and gives them out in turn (Node's cluster): the kernel would give most of
 * them to a few workers, and sharing a port by SO_REUSEPORT needs Node 22. What comes over a connection does not pass through here.
 *
 * Workers end with it, however it ends: at SIGKILL Node ends them when their channel closes, and what they had acknowledged is durable.
 */
export async function runPrimary(
  parts: RunParts & { readonly print: (text: string) => void },
  stop: AbortSignal,
): Promise<void> {
  const { config, clock, log, print } = parts;
  if (!cluster.isPrimary)
    throw new WorkerError(
      'TIDEMARK_WORKERS starts processes of its own, and cannot do so in a cluster of others.',
    );
  // Mistakes are found here, once, and not in every worker.
  if (config.tls !== undefined) await readCertificate(config.tls);
  const { url, data, stop: stopDatabase } = await findDatabase(parts, stop);
  try {
    let made = await prepare(parts, url, stop);
    const count = createCount(clock);
    const staff = startStaff(config.workers, {
      ...{ clock, log },
      start: startWorker,
      begin: (number) => ({
        do: 'begin',
        beginning: {
          ...{ number, databaseUrl: url, prepared: made !== undefined },
          ...{ config: shareOf(config, number), spoolRoot: config.spoolDirectory },
        },
      }),
      onNews: (number, worker, news) => onNews(number, worker, news),
      onEnded: (number) => count.ended(number),
    });

    function onNews(number: number, worker: Worker, news: News): void {
      if (news.is === 'counted') count.note(number, news.ask, news.values);
      else if (news.is === 'totals')
        void count.all(staff).then((totals) => worker.tell({ do: 'tellTotals', ask: news.ask, totals }));
      else if (news.is === 'taken')
        for (const other of staff.running.values())
          if (other !== worker) other.tell({ do: 'noteTaken', taken: news.taken });
    }

    async function prepareNow(): Promise<void> {
      made = await prepareLater(parts, url, stop);
      staff.tellAll({ do: 'useDatabase' });
      print(keyLines(made));
    }

    try {
      const later = made === undefined ? prepareNow() : new Promise<never>(() => undefined);
      const port = await Promise.race([staff.ready, aborted(stop), later.then(() => staff.ready)]);
      if (port === undefined) return;
      const scheme = config.tls === undefined ? 'http' : 'https';
      print(banner({ scheme, host: config.host, port, made: made ?? new Map(), data }));
      await Promise.race([aborted(stop), later]);
      await aborted(stop);
    } finally {
      await staff.stop();
    }
  } finally {
    await stopDatabase();
  }
}

/** So many orders wait for a worker that does not read them, being halted perhaps; what comes then is not told. */
const untoldMax = 1_000;

/** Another process with the same program and arguments of Node's, which is told all else. */
function startWorker(): Worker {
  cluster.setupPrimary({ args: ['worker'], serialization: 'advanced' });
  const worker = cluster.fork();
  // Whatever ends this process ends its workers.
  const kill = (): void => void worker.process.kill('SIGKILL');
  process.once('exit', kill);
  worker.once('exit', () => process.off('exit', kill));
  let untold = 0;
  return {
    tell(order) {
      if (untold >= untoldMax && order.do !== 'stop') return;
      untold += 1;
      worker.send(order, () => {
        untold -= 1;
      });
    },
    onNews: (listener) => void worker.on('message', (news: News) => listener(news)),
    onExit(listener) {
      worker.once('exit', (code, signal) => listener(signal === null ? `exit code ${code}` : signal));
      worker.on('error', (error) => {
        // A worker that cannot be told has ended, or will; one that could not even be started says nothing more.
        if (worker.process.pid === undefined) listener(error.message);
      });
    },
  };
}
