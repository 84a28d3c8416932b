import { readFileSync } from 'node:fs';
import { problems, rejectionCodes, timeQualities } from '@tidemark/core/wire';
import { describe, expect, test } from 'vitest';

const protocol = readFileSync(new URL('../../collector/docs/protocol.md', import.meta.url), 'utf8');

/** The first cells of a table's rows, by the first cell of its heading; codes only. */
function firstColumn(heading: string, column = 0): string[] {
  const [, rows = ''] =
    new RegExp(`^\\| ${heading} \\|[^\\n]*\\n\\|[-|]*\\n((?:\\|.*\\n)*)`, 'm').exec(protocol) ?? [];
  return rows
    .trim()
    .split('\n')
    .flatMap((row) =>
      [...(row.split('|')[column + 1] ?? '').matchAll(/`([^`]+)`/g)].map(([, code = '']) => code),
    );
}

describe('the protocol reference', () => {
  test('has every code of a problem, with its status', () => {
    const statuses = [...protocol.matchAll(/^\| (\d{3}) \| `(\w+)` \|/gm)].map(([, status, code = '']) => [
      code,
      Number(status),
    ]);
    expect(Object.fromEntries(statuses)).toEqual(
      Object.fromEntries(Object.entries(problems).map(([code, { status }]) => [code, status])),
    );
  });

  test('has every code of a rejection', () => {
    expect(firstColumn('code').sort()).toEqual([...rejectionCodes].sort());
  });

  test('has every quality of a time, in order', () => {
    expect(firstColumn('value')).toEqual([...timeQualities]);
  });
});
