import { readFile } from 'node:fs/promises';

/** The most memory that a process has had resident, in MiB; not a number where the system does not tell. */
export async function peakMebibytes(pid: number): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8').catch(() => '');
  const [, kibibytes] = /^VmHWM:\s+(\d+) kB$/m.exec(status) ?? [];
  return kibibytes === undefined ? Number.NaN : Number(kibibytes) / 1_024;
}
