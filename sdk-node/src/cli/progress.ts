import type { Output } from './output.ts';

export interface Tally {
  /** Stored now, and found there already. */
  stored: number;
  present: number;
  bad: number;
}

/** A bar on a terminal, redrawn five times a second at most; elsewhere nothing. */
export interface Progress {
  show(input: string, done: number, total: number | undefined, tally: Tally): void;
  /** Takes the bar away. */
  clear(): void;
}

const redrawMs = 200;
const barCells = 20;

export function createProgress(stderr: Output, wanted: boolean, nowMs: () => number): Progress {
  if (!wanted || !stderr.isTerminal) return { show: () => {}, clear: () => {} };
  let drawnMs = Number.NEGATIVE_INFINITY;
  const startedMs = nowMs();
  const draw = (text: string): void => {
    stderr.write(`\r\u001B[K${text.slice(0, stderr.columns - 1)}`).catch(() => {});
  };
  return {
    show(input, done, total, { stored, present, bad }) {
      if (nowMs() - drawnMs < redrawMs) return;
      drawnMs = nowMs();
      const share = total === undefined || total === 0 ? undefined : Math.min(1, done / total);
      const cells = Math.round((share ?? 0) * barCells);
      const bar =
        share === undefined
          ? megabytes(done)
          : `[${'#'.repeat(cells)}${'.'.repeat(barCells - cells)}] ${Math.floor(share * 100)} %`;
      const rate = Math.round(((stored + present) * 1_000) / Math.max(1, nowMs() - startedMs));
      draw(`${bar}  ${stored} stored, ${present} there, ${bad} bad  ${rate}/s  ${input}`);
    },
    clear: () => draw(''),
  };
}

function megabytes(bytes: number): string {
  return `${(bytes / 1_048_576).toFixed(1)} MiB`;
}
