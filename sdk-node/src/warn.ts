import type { Report } from '@tidemark/core';

/** Milliseconds between two warnings of the same kind. */
const pauseMs = 60_000;

/** What a client does without `onReport`: losses must not go unnoticed, and a log must not fill with them. */
export function createWarner(
  monotonic: () => number,
  warn: (text: string) => void,
): (report: Report) => void {
  const told = new Map<string, number>();
  const untold = new Map<string, number>();

  return (report) => {
    const what = titleOf(report);
    if (what === undefined) return;
    const count = (untold.get(what) ?? 0) + (report.kind === 'lost' ? report.events.length : 1);
    untold.set(what, count);
    const now = monotonic();
    if (now < (told.get(what) ?? -Infinity) + pauseMs) return;
    told.set(what, now);
    untold.delete(what);
    warn(report.kind === 'lost' ? `${count} events were lost: ${what}` : what);
  };
}

/** A wait that will pass is no news. */
function titleOf(report: Report): string | undefined {
  if (report.kind === 'unsaved') return `events could not be saved to the spool: ${report.message}`;
  const refusal =
    report.status === undefined ? '' : ` (${report.status} ${report.code ?? ''} ${report.message ?? ''})`;
  if (report.kind === 'lost') return report.reason + refusal;
  return report.status === 401 || report.status === 403
    ? `the key is not taken, events wait${refusal}`
    : undefined;
}
