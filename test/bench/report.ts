import type { Bound, PreparedFigure, Ratio, Rounds } from './figure.ts';
import { type Summary, summarise } from './statistics.ts';

/** A line of the table. */
export interface Row {
  readonly what: string;
  readonly unit: string;
  readonly summary: Summary;
  readonly target: string | undefined;
  readonly reached: boolean | undefined;
}

export interface FigureReport {
  readonly name: string;
  readonly title: string;
  readonly rows: readonly Row[];
  readonly notes: readonly string[];
}

/** The values of each case, then the ratios. A target is reached when the median reaches it. */
export function reportRows(
  { cases, once = [], ratios = [], bounds = [] }: PreparedFigure,
  rounds: Rounds,
): readonly Row[] {
  const rows: Row[] = [];
  for (const { name } of [...cases, ...once]) {
    let first = true;
    for (const [value, values] of rounds.get(name) ?? []) {
      const bound = bounds.find((one) => one.case === name && one.value === value);
      rows.push(valueRow(first ? name : '', value, summarise(values), bound));
      first = false;
    }
  }
  for (const ratio of ratios) rows.push(ratioRow(ratio, rounds));
  return rows;
}

function valueRow(what: string, unit: string, summary: Summary, bound: Bound | undefined): Row {
  if (bound === undefined) return { what, unit, summary, target: undefined, reached: undefined };
  return { what, unit, summary, target: `≤ ${bound.atMost}`, reached: summary.median <= bound.atMost };
}

function ratioRow({ of, to, value, atLeast, atMost }: Ratio, rounds: Rounds): Row {
  const above = valuesOf(rounds, of, value);
  const below = valuesOf(rounds, to, value);
  const summary = summarise(above.map((one, round) => one / (below[round] ?? Number.NaN)));
  const row = { what: `${of} ÷ ${to}`, unit: value ?? '', summary };
  if (atLeast !== undefined) return { ...row, target: `≥ ${atLeast}`, reached: summary.median >= atLeast };
  if (atMost !== undefined) return { ...row, target: `≤ ${atMost}`, reached: summary.median <= atMost };
  return { ...row, target: undefined, reached: undefined };
}

/** Of a value; by default the first. */
function valuesOf(rounds: Rounds, name: string, value: string | undefined): readonly number[] {
  const found = rounds.get(name);
  const [first] = found?.keys() ?? [];
  const values = found?.get(value ?? first ?? '');
  if (values === undefined) throw new Error(`there is no case ${name} with ${value ?? 'a value'}`);
  return values;
}

/** Reports as text, one table for all, so that the columns are the same. */
export function renderTable(reports: readonly FigureReport[]): string {
  const lines: (readonly string[] | string)[] = [];
  for (const { name, title, rows, notes } of reports) {
    lines.push(`\n${name}  ${title}`);
    for (const row of rows) lines.push(cellsOf(row));
    for (const note of notes) lines.push(`     ${note}`);
  }
  const cells = lines.filter((line) => typeof line !== 'string');
  const widths = [0, 1, 2, 3, 4].map((column) =>
    Math.max(0, ...cells.map((line) => line[column]?.length ?? 0)),
  );
  const pad = (text: string, column: number): string =>
    column < 2 || column > 3 ? text.padEnd(widths[column] ?? 0) : text.padStart(widths[column] ?? 0);
  return lines
    .map((line) => (typeof line === 'string' ? line : `     ${line.map(pad).join('  ')}`.trimEnd()))
    .join('\n');
}

function cellsOf({ what, unit, summary, target, reached }: Row): readonly string[] {
  const { median, min, max } = summary;
  const verdict = target === undefined ? '' : `${target} ${reached === true ? 'reached' : 'not reached'}`;
  return [what, unit, shown(median), `${shown(min)} – ${shown(max)}`, verdict];
}

/** Three digits are more than any of this is worth. */
function shown(value: number): string {
  if (Math.abs(value) >= 100) return Math.round(value).toLocaleString('en');
  return value.toPrecision(3);
}
