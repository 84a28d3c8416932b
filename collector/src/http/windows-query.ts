import { windowLimits } from '@tidemark/core/wire';
import { decodeWindowCursor, kindOf } from '../read/window-cursor.ts';
import type { WindowsRequest } from '../read/windows.ts';
import type { Grouping } from '../store/windows.ts';
import {
  invalid,
  type Query,
  readStartWith,
  readWait,
  readWhole,
  refuseUnknown,
  shown,
} from './query-parameter.ts';

/** What the query of `GET /v1/streams/{stream}/windows` asks for. */
export interface WindowsQuery extends Omit<WindowsRequest, 'streamId'> {
  readonly waitSeconds: number;
}

const known: ReadonlySet<string> = new Set(['size', 'groupBy', 'sum', 'cursor', 'from', 'limit', 'wait']);

/** Throws a problem that names the parameter, its value and what it may be. */
export function readWindowsQuery(query: Query): WindowsQuery {
  refuseUnknown(query, known);
  const sizeMicros = readSize(query['size']);
  return {
    start: readStartWith(
      query,
      decodeWindowCursor,
      'is not a cursor of windows: use a nextCursor of this route as it was given',
    ),
    sizeMicros,
    groupBy: readGrouping(query['groupBy']),
    sum: query['sum'] === undefined ? undefined : readPath('sum', query['sum']),
    kind: kindOf(sizeMicros, query['groupBy']),
    limit: readWhole('limit', query['limit'], windowLimits.windows),
    waitSeconds: readWait(query),
  };
}

const unitSeconds: Readonly<Record<string, number>> = { s: 1, m: 60, h: 3_600, d: 86_400 };

function readSize(text: string | undefined): bigint {
  const [, count, unit = ''] = /^(\d{1,5})([smhd])$/.exec(text ?? '') ?? [];
  const seconds = Number(count) * (unitSeconds[unit] ?? Number.NaN);
  const { min, max } = windowLimits.sizeSeconds;
  if (!(seconds >= min && seconds <= max))
    throw invalid('size', `is ${shown(text ?? '')}: it must be 1s to 1d, such as 60s, 5m or 1h`);
  return BigInt(seconds) * 1_000_000n;
}

function readGrouping(text: string | undefined): Grouping | undefined {
  if (text === undefined || text === 'name' || text === 'key') return text;
  return { path: readPath('groupBy', text) };
}

/** `props.a.b`: the member `b` of the member `a`, or the element with that number. */
function readPath(name: string, text: string): readonly string[] {
  const [root, ...path] = text.split('.');
  const { pathSteps, pathCharacters } = windowLimits;
  const isPath = root === 'props' && path.length > 0 && path.length <= pathSteps && !path.includes('');
  if (!isPath || text.length > pathCharacters || text.includes('\0')) {
    const others = name === 'groupBy' ? 'name, key or ' : '';
    throw invalid(name, `is ${shown(text)}: it must be ${others}a path such as props.price`);
  }
  return path;
}
