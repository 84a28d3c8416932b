import { WebSocket } from 'undici';

/** Looks into a Node process from outside, by the protocol of its inspector. */
export interface Inspector {
  /** Collects all garbage there is, then says what is used, in bytes. */
  collect(): Promise<NodeJS.MemoryUsage>;
  close(): void;
}

/** How a process has to be started: it prints the address that `connectInspector` needs. */
export const inspectorArguments = ['--inspect=127.0.0.1:0'];

/** `output` is what the process printed at its start. */
export async function connectInspector(output: string): Promise<Inspector> {
  const [address] = /ws:\/\/127\.0\.0\.1:\d+\/\S+/.exec(output) ?? [];
  if (address === undefined) throw new Error(`no inspector listens there:\n${output}`);
  const socket = new WebSocket(address);
  const asked = new Map<number, (answer: Answer) => void>();
  let asks = 0;
  socket.addEventListener('message', ({ data }) => {
    const answer = JSON.parse(String(data)) as Answer;
    asked.get(answer.id)?.(answer);
    asked.delete(answer.id);
  });
  const closed = new Promise<never>((_, reject) => {
    socket.addEventListener('close', () => reject(new Error('the process is gone')));
  });
  closed.catch(() => {});
  await Promise.race([
    closed,
    new Promise((resolve) => {
      socket.addEventListener('open', resolve);
    }),
  ]);

  async function ask(method: string, params: object): Promise<unknown> {
    asks += 1;
    const answered = new Promise<Answer>((resolve) => {
      asked.set(asks, resolve);
    });
    socket.send(JSON.stringify({ id: asks, method, params }));
    const { result, error } = await Promise.race([answered, closed]);
    if (error !== undefined) throw new Error(`${method}: ${error.message}`);
    return result;
  }

  return {
    async collect() {
      await ask('HeapProfiler.collectGarbage', {});
      const expression = 'process.memoryUsage()';
      const evaluated = await ask('Runtime.evaluate', { expression, returnByValue: true });
      return (evaluated as { result: { value: NodeJS.MemoryUsage } }).result.value;
    },
    close: () => socket.close(),
  };
}

interface Answer {
  readonly id: number;
  readonly result?: unknown;
  readonly error?: { readonly message: string };
}
