import { parseTime, type StoredEvent } from '@tidemark/core/wire';

/** An event as a line for people: when it happened, its name, what it is about, its props. */
export function prettyEvent(event: StoredEvent, color: boolean): string {
  const paint = (code: number, text: string): string => (color ? `\u001B[${code}m${text}\u001B[0m` : text);
  const time = event.eventTime.slice(0, 23).replace('T', ' ');
  const late = event.late ? paint(33, ` late by ${duration(event.lateByMs)}`) : '';
  const key = event.key === null ? '' : ` ${paint(36, clean(event.key))}`;
  const props = event.props === null ? '' : ` ${paint(2, clean(JSON.stringify(event.props)))}`;
  return `${paint(2, time)} ${paint(1, clean(event.name))}${key}${late}${props}`;
}

export function duration(ms: number): string {
  if (ms < 1_000) return `${Math.round(ms)} ms`;
  if (ms < 60_000) return `${(ms / 1_000).toFixed(1)} s`;
  if (ms < 3_600_000) return `${Math.floor(ms / 60_000)} min`;
  if (ms < 86_400_000) return `${(ms / 3_600_000).toFixed(1)} h`;
  return `${(ms / 86_400_000).toFixed(1)} d`;
}

/** A table with a line of headings; columns are as wide as what is in them. */
export function table(headings: readonly string[], rows: readonly (readonly string[])[]): string {
  const all = [headings, ...rows];
  const widths = headings.map((_, column) => Math.max(...all.map((row) => row[column]?.length ?? 0)));
  const lines = all.map((row) =>
    row
      .map((cell, column) => cell.padEnd(widths[column] ?? 0))
      .join('  ')
      .trimEnd(),
  );
  return `${lines.join('\n')}\n`;
}

/** A time on the wire to the second; `-` for one that stands for the beginning. */
export function shortTime(text: string): string {
  const micros = parseTime(text);
  return micros === undefined || text.startsWith('0001-') ? '-' : text.slice(0, 19).replace('T', ' ');
}

/** Names and keys are anybody's: they must not steer the terminal. */
function clean(text: string): string {
  return text.replace(/\p{Cc}/gu, '\uFFFD');
}
