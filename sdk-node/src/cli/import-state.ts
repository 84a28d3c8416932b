import { readFile } from 'node:fs/promises';
import { saveWhole } from './cursor-file.ts';

/** How far inputs were imported: by their source, the offset up to which the collector has answered for everything. */
export interface ImportState {
  reached(source: string): number;
  save(source: string, offset: number): Promise<void>;
}

export async function loadState(path: string | undefined): Promise<ImportState> {
  const offsets = new Map<string, number>(Object.entries(path === undefined ? {} : await load(path)));
  return {
    reached: (source) => offsets.get(source) ?? 0,
    async save(source, offset) {
      offsets.set(source, offset);
      if (path !== undefined) await saveWhole(path, Object.fromEntries(offsets));
    },
  };
}

async function load(path: string): Promise<Record<string, number>> {
  try {
    const saved: unknown = JSON.parse(await readFile(path, 'utf8'));
    const whole =
      typeof saved === 'object' && saved !== null && Object.values(saved).every(Number.isSafeInteger);
    if (whole) return saved as Record<string, number>;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return {};
    if (!(error instanceof SyntaxError)) throw error;
  }
  throw new Error(`${path} is not the state of an import`);
}
