import type { PostgresBinaries } from './embedded-binaries.ts';
import { type Launcher, runProgram } from './embedded-launch.ts';

/** Server settings by name; given on the command line, so they win over the files in the data folder. */
export type ServerSettings = Readonly<Record<string, string>>;

/** The settings that the collector runs its own Postgres with. */
export const embeddedSettings: ServerSettings = {
  // G1 rests on these four.
  fsync: 'on',
  synchronous_commit: 'on',
  full_page_writes: 'on',
  data_sync_retry: 'off',
  // Nobody but this machine.
  listen_addresses: '127.0.0.1',
  unix_socket_directories: '',
  max_connections: '100',
  shared_buffers: '256MB',
  // Rare, stretched checkpoints: each makes the next write of every page log the whole page.
  max_wal_size: '4GB',
  checkpoint_timeout: '15min',
  checkpoint_completion_target: '0.9',
  // Tables only grow by inserts here. Vacuum is what marks their pages visible to all and freezes them; the default of
  // 20 % more rows would leave that to rare and huge runs, and the default of 1,000 rows keeps it busy with small ones.
  autovacuum: 'on',
  autovacuum_vacuum_insert_scale_factor: '0.05',
  autovacuum_vacuum_insert_threshold: '50000',
  autovacuum_analyze_scale_factor: '0.05',
  // Compiling a plan costs more than any query here takes.
  jit: 'off',
  timezone: 'UTC',
  log_timezone: 'UTC',
  lc_messages: 'C',
  log_destination: 'stderr',
  logging_collector: 'off',
  log_line_prefix: '',
  log_min_messages: 'warning',
  log_checkpoints: 'off',
  // Statements that fail would bring the data of users into the log.
  log_min_error_statement: 'panic',
  cluster_name: 'tidemark',
};

/** `wal_compression=lz4` where this build of Postgres has it: cheap enough for every full-page image; pglz is not. */
export async function walCompression(
  binaries: PostgresBinaries,
  launcher: Launcher,
  clusterDir: string,
  signal?: AbortSignal,
): Promise<ServerSettings> {
  const args = ['-D', clusterDir, '-C', 'wal_compression', '-c', 'wal_compression=lz4'];
  const asked = await runProgram(launcher, binaries.postgres, args, signal);
  return asked.code === 0 ? { wal_compression: 'lz4' } : {};
}

/** The settings as arguments of `postgres`. */
export function settingArguments(settings: ServerSettings): string[] {
  return Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`]);
}
