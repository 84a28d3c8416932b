import { type ChildProcess, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';

/** A collector as users run it: a process of its own. */
export interface CollectorProcess {
  readonly url: string;
  readonly pid: number;
  readonly keys: Keys;
  /** SIGTERM, and the wait for its end. Rejects when it does not end well. */
  stop(): Promise<void>;
  /** The last 20,000 characters of what it printed and logged. */
  output(): string;
}

interface Keys {
  readonly write: string;
  readonly read: string;
  readonly admin: string;
}

export interface CollectorProcessOptions {
  /** Its variables; the address, a free port and the keys are set here. */
  readonly environment: Readonly<Record<string, string>>;
  /** Arguments of Node, such as `--cpu-prof`. */
  readonly nodeArguments?: readonly string[];
  /** The file to run where that is not the source: a bundle needs no loader, nor its memory. */
  readonly main?: string;
}

const source = fileURLToPath(new URL('../../collector/src/main.ts', import.meta.url));
const startMsMax = 90_000;
const stopMsMax = 15_000;

/** Starts a collector and waits until it has printed its address. */
export async function startCollectorProcess(options: CollectorProcessOptions): Promise<CollectorProcess> {
  const keys = { write: newKey('write'), read: newKey('read'), admin: newKey('admin') };
  const child = spawn(
    process.execPath,
    [
      ...(options.nodeArguments ?? []),
      ...(options.main === undefined ? ['--import', import.meta.resolve('tsx'), source] : [options.main]),
    ],
    {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: {
        ...withoutOurs(process.env),
        HOST: '127.0.0.1',
        PORT: '0',
        TIDEMARK_WRITE_KEY: keys.write,
        TIDEMARK_READ_KEY: keys.read,
        TIDEMARK_ADMIN_KEY: keys.admin,
        TIDEMARK_LOG_LEVEL: 'warn',
        ...options.environment,
      },
    },
  );
  const ended = once(child, 'exit');
  const output = collect(child);
  const url = await addressOf(child, output);
  return {
    url,
    pid: child.pid ?? 0,
    keys,
    output: () => output.text(),
    async stop() {
      child.kill('SIGTERM');
      const deadline = setTimeout(() => child.kill('SIGKILL'), stopMsMax);
      const [code, signal] = (await ended) as [number | null, NodeJS.Signals | null];
      clearTimeout(deadline);
      if (code !== 0) throw new Error(`the collector ended with ${code ?? signal}:\n${output.text()}`);
    },
  };
}

interface Output {
  /** The last 20,000 characters of what it printed. */
  text(): string;
}

function collect(child: ChildProcess): Output {
  let text = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream?.setEncoding('utf8').on('data', (chunk: string) => {
      text = (text + chunk).slice(-20_000);
    });
  }
  return { text: () => text };
}

function addressOf(child: ChildProcess, output: Output): Promise<string> {
  return new Promise((resolve, reject) => {
    const fail = (what: string): void => {
      done();
      child.kill('SIGKILL');
      reject(new Error(`the collector ${what}:\n${output.text()}`));
    };
    const look = (): void => {
      const [, url] = /^ {2}address {2}(http\S+)$/m.exec(output.text()) ?? [];
      if (url === undefined) return;
      done();
      resolve(url);
    };
    const exited = (code: number | null): void => fail(`ended at its start with ${code}`);
    const deadline = setTimeout(() => fail(`was not ready within ${startMsMax} ms`), startMsMax);
    const done = (): void => {
      clearTimeout(deadline);
      child.stdout?.off('data', look);
      child.off('exit', exited);
    };
    child.stdout?.on('data', look);
    child.on('exit', exited);
  });
}

/** What configures this run is not the collector's to know, and an unknown variable would stop it. */
function withoutOurs(environment: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  const foreign = Object.entries(environment).filter(([name]) => !/^(TIDEMARK_|DATABASE_URL$)/.test(name));
  return Object.fromEntries(foreign);
}

const newKey = (role: string) => `${role}-${randomBytes(16).toString('hex')}`;
