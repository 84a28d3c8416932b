// A program that uses the Node SDK and ends in the way its first argument says; the second is its options as JSON.
import { Worker } from 'node:worker_threads';
import { type ClientOptions, createClient } from '@tidemark/node';

interface Task {
  readonly events: number;
  readonly options: ClientOptions;
  /** Milliseconds from the events to the end. */
  readonly pauseMs?: number;
}

const [, , ending = 'end', task = '{}'] = process.argv;
const { events, options, pauseMs = 0 } = JSON.parse(task) as Task;

if (ending === 'worker') {
  const run = `import(${JSON.stringify(import.meta.url)})`;
  const start = `process.argv.splice(2, 2, 'end', ${JSON.stringify(task)}); import('tsx/esm/api').then(({ register }) => { register(); return ${run}; });`;
  for (let index = 0; index < 2; index++) {
    const worker = new Worker(start, { eval: true });
    worker.on('error', (error) => {
      throw error;
    });
  }
} else {
  const client = createClient(options);
  for (let index = 0; index < events; index++)
    client.track('event', { index }, { id: `${process.pid} ${ending} ${index}` });
  if (ending === 'flush') console.log(JSON.stringify(await client.flush({ timeoutMs: 3_000 })));
  if (ending === 'close') {
    await client.close({ timeoutMs: 500 });
    console.log(JSON.stringify(client.counters()));
  }
  if (ending === 'listen') {
    process.on('SIGTERM', () => {
      void client.close().then(() => process.exit(7));
    });
  }
  if (ending === 'wait' || ending === 'listen') {
    setInterval(() => {}, 1_000);
    setTimeout(() => console.log('ready'), pauseMs);
  }
  if (ending === 'exit') setTimeout(() => process.exit(3), pauseMs);
}
