import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { access, mkdir, writeFile } from 'node:fs/promises';
import { delimiter, join } from 'node:path';
import { canConnect } from '../harness/can-connect.ts';
import { eventually } from '../harness/eventually.ts';
import { freePort } from '../../collector/src/store/embedded-port.ts';
import { type CpuMeter, processMeter } from './cpu.ts';

/** A server of another kind, with its data in a folder of the bench. */
export interface PeerServer {
  readonly url: string;
  readonly version: string;
  /** Whether what it acknowledges is on the disk. */
  readonly durable: boolean;
  readonly cpu: CpuMeter;
  stop(): Promise<void>;
}

/** Undefined: this machine has none. */
export async function startNats(folder: string): Promise<PeerServer | undefined> {
  const program = await findProgram('nats-server');
  if (program === undefined) return undefined;
  const port = await freePort();
  const settings = (sync: string) =>
    `listen: 127.0.0.1:${port}\njetstream { store_dir: ${JSON.stringify(join(folder, 'nats'))}${sync} }\n`;
  const file = join(folder, 'nats.conf');
  await writeFile(file, settings(', sync_interval: always'));
  // Versions before 2.10 do not know how.
  const { code } = await run(program, ['-t', '-c', file]);
  if (code !== 0) await writeFile(file, settings(''));
  const { output } = await run(program, ['--version']);
  return {
    ...(await startServer(program, ['-c', file], port)),
    url: `nats://127.0.0.1:${port}`,
    version: /\d[\d.]+/.exec(output)?.[0] ?? 'unknown',
    durable: code === 0,
  };
}

/** Undefined: this machine has none. */
export async function startRedis(folder: string): Promise<PeerServer | undefined> {
  const program = await findProgram('redis-server');
  if (program === undefined) return undefined;
  const port = await freePort();
  const directory = join(folder, 'redis');
  await mkdir(directory);
  const { output } = await run(program, ['--version']);
  const settings = ['--bind', '127.0.0.1', '--port', String(port), '--dir', directory, '--save', ''];
  return {
    ...(await startServer(
      program,
      [...settings, '--appendonly', 'yes', '--appendfsync', 'always', '--loglevel', 'warning'],
      port,
    )),
    url: `redis://127.0.0.1:${port}`,
    version: /v=([\d.]+)/.exec(output)?.[1] ?? 'unknown',
    durable: true,
  };
}

async function startServer(
  program: string,
  args: readonly string[],
  port: number,
): Promise<Pick<PeerServer, 'cpu' | 'stop'>> {
  const child = spawn(program, args, { stdio: 'ignore' });
  const ended = once(child, 'exit');
  const endWithUs = () => child.kill('SIGKILL');
  process.on('exit', endWithUs);
  await Promise.race([
    eventually(`${program} listens`, () => canConnect('127.0.0.1', port), 20_000),
    ended.then(([code]) => Promise.reject(new Error(`${program} ended with ${code} at its start`))),
  ]);
  return {
    cpu: processMeter(child.pid ?? 0),
    async stop() {
      process.off('exit', endWithUs);
      child.kill('SIGTERM');
      await ended;
    },
  };
}

async function findProgram(name: string): Promise<string | undefined> {
  // Debian keeps servers where users do not look.
  const folders = [...(process.env['PATH'] ?? '').split(delimiter), '/usr/sbin', '/usr/local/sbin'];
  for (const folder of folders) {
    const path = join(folder, name);
    const found = await access(path).then(
      () => true,
      () => false,
    );
    if (found) return path;
  }
  return undefined;
}

async function run(program: string, args: readonly string[]): Promise<{ code: number; output: string }> {
  const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'pipe'] });
  let output = '';
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding('utf8').on('data', (chunk: string) => {
      output += chunk;
    });
  const [code] = (await once(child, 'close')) as [number | null];
  return { code: code ?? 1, output };
}
