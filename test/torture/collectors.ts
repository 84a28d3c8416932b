import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { type Proxy, startProxy, type Weather } from '../harness/proxy.ts';

/** A collector behind an address that stays the same while the process is killed and started again. */
export interface Collector {
  readonly name: string;
  /** Through the network that it is behind. */
  readonly url: string;
  /** It has started and is not halted. */
  readonly running: boolean;
  /** Starts it and waits until it listens. Rejects when it ends instead. */
  start(): Promise<void>;
  /** SIGKILL; comes back when it is gone. */
  kill(): Promise<void>;
  /** SIGSTOP. */
  halt(): void;
  /** SIGCONT. */
  goOn(): void;
  /** SIGTERM; comes back with how it ended. */
  end(): Promise<number | NodeJS.Signals | null>;
  /** Cuts the connections of its clients. */
  cut(): void;
  /** Kills it and closes its address. */
  close(): Promise<void>;
}

export const keys = {
  write: 'torture-write-key-0123456789',
  read: 'torture-read-key-0123456789',
  admin: 'torture-admin-key-0123456789',
} as const;

export interface CollectorOptions {
  readonly name: string;
  /** The file that Node runs. */
  readonly main: string;
  readonly databaseUrl: string;
  readonly environment?: Readonly<Record<string, string>>;
  /** A program that Node is run through, with its arguments: one that sets a limit, say. */
  readonly through?: readonly string[];
  readonly weather: () => Weather;
  /** Told when it begins and ceases to run. */
  readonly onRunning: (running: boolean) => void;
  /** Told when it ended though nobody killed it, with the last of what it printed. */
  readonly onEnded: (what: string) => void;
}

/** Makes the address; nothing runs before `start`. */
export async function createCollector(options: CollectorOptions): Promise<Collector> {
  const proxy: Proxy = await startProxy(options.weather);
  let child: ChildProcess | undefined;
  let running = false;
  let halted = false;

  function setRunning(now: boolean): void {
    if (running === now) return;
    running = now;
    options.onRunning(now);
  }

  async function kill(): Promise<void> {
    setRunning(false);
    proxy.aim(undefined);
    const dying = child;
    child = undefined;
    halted = false;
    if (dying === undefined || dying.exitCode !== null || dying.signalCode !== null) return;
    const ended = once(dying, 'exit');
    dying.kill('SIGKILL');
    await ended;
  }

  // Whatever ends the harness ends its collectors.
  const killWithUs = (): void => void child?.kill('SIGKILL');
  process.on('exit', killWithUs);

  return {
    name: options.name,
    url: proxy.url,
    get running() {
      return running && !halted;
    },
    async start() {
      await kill();
      const started = spawnCollector(options);
      child = started;
      const output = collect(started);
      const port = await portOf(started, output).catch((error: unknown) => {
        if (child === started) throw error;
        return undefined;
      });
      // Undefined, or another child: it was killed meanwhile.
      if (port === undefined || child !== started) return;
      started.once('exit', (code, signal) => {
        if (child !== started) return;
        proxy.aim(undefined);
        setRunning(false);
        options.onEnded(`${options.name} ended with ${code ?? signal}:\n${output()}`);
      });
      proxy.aim(port);
      setRunning(true);
    },
    kill,
    halt() {
      if (child === undefined || !running) return;
      halted = true;
      child.kill('SIGSTOP');
      options.onRunning(false);
    },
    goOn() {
      if (child === undefined || !halted) return;
      halted = false;
      child.kill('SIGCONT');
      options.onRunning(true);
    },
    async end() {
      const ending = child;
      if (ending === undefined) return null;
      child = undefined;
      const ended = once(ending, 'exit');
      ending.kill('SIGTERM');
      const [code, signal] = (await ended) as [number | null, NodeJS.Signals | null];
      proxy.aim(undefined);
      setRunning(false);
      return code ?? signal;
    },
    cut: () => proxy.cut(),
    async close() {
      process.off('exit', killWithUs);
      await kill();
      await proxy.close();
    },
  };
}

function spawnCollector({ main, databaseUrl, environment, through = [] }: CollectorOptions): ChildProcess {
  const foreign = Object.entries(process.env).filter(([name]) => !/^(TIDEMARK_|DATABASE_URL$)/.test(name));
  const [program, ...rest] = [...through, process.execPath, main];
  return spawn(program, rest, {
    stdio: ['ignore', 'pipe', 'pipe'],
    // Ctrl-C is for the harness, which then ends its collectors.
    detached: true,
    env: {
      ...Object.fromEntries(foreign),
      HOST: '127.0.0.1',
      PORT: '0',
      DATABASE_URL: databaseUrl,
      TIDEMARK_WRITE_KEY: keys.write,
      TIDEMARK_READ_KEY: keys.read,
      TIDEMARK_ADMIN_KEY: keys.admin,
      TIDEMARK_LOG_LEVEL: 'error',
      ...environment,
    },
  });
}

/** The last of what it has printed. */
function collect(child: ChildProcess): () => string {
  let text = '';
  for (const output of [child.stdout, child.stderr]) {
    output?.setEncoding('utf8').on('data', (chunk: string) => {
      text = (text + chunk).slice(-10_000);
    });
  }
  return () => text;
}

/** The port in the address that it prints once it listens. */
function portOf(child: ChildProcess, output: () => string): Promise<number> {
  return new Promise((resolve, reject) => {
    const look = (): void => {
      const port = /^ {2}address {2}http:\/\/127\.0\.0\.1:(\d+)$/m.exec(output())?.[1];
      if (port === undefined) return;
      child.stdout?.off('data', look);
      resolve(Number(port));
    };
    child.stdout?.on('data', look);
    child.once('error', reject);
    child.once('exit', (code, signal) =>
      reject(new Error(`a collector ended at its start with ${code ?? signal}:\n${output()}`)),
    );
  });
}
