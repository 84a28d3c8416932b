import { consumerNamePattern, parseTime, readLimits } from '@tidemark/core/wire';
import { decodeCursor } from '../read/cursor.ts';
import type { Start } from '../read/page.ts';
import type { Filter, Shard } from '../store/filter.ts';
import type { EventsFormat } from './events-format.ts';
import {
  invalid,
  type Query,
  readStartWith,
  readWait,
  readWhole,
  refuseUnknown,
  shown,
} from './query-parameter.ts';

/** What the query of `GET /v1/streams/{stream}/events` asks for. */
export interface PageQuery {
  /** Or the name of a consumer, at whose committed cursor to begin. */
  readonly start: Start | { readonly at: 'consumer'; readonly name: string };
  readonly until: bigint | undefined;
  readonly limit: number;
  readonly maxBytes: number;
  readonly waitSeconds: number;
  readonly filter: Filter | undefined;
  /** Begin at the earliest event where the cursor has expired. */
  readonly skipExpired: boolean;
}

const known: ReadonlySet<string> = new Set([
  ...['cursor', 'from', 'consumer', 'until', 'limit', 'maxBytes', 'wait'],
  ...['name', 'key', 'shard', 'onExpired'],
]);

/** Throws a problem that names the parameter, its value and what it may be. */
export function readPageQuery(
  query: Query,
  format: EventsFormat,
  lastEventId: string | undefined,
): PageQuery {
  refuseUnknown(query, known);
  const pageBytes = format === 'live' ? readLimits.liveBytes : readLimits.pageBytes;
  return {
    start: readAnyStart(query, format === 'live' ? lastEventId : undefined),
    filter: readFilter(query),
    skipExpired: readChoice('onExpired', query['onExpired'], ['error', 'earliest']) === 'earliest',
    until: readTime('until', query['until']),
    limit: readWhole('limit', query['limit'], readLimits.pageEvents),
    maxBytes: Math.min(
      readWhole('maxBytes', query['maxBytes'], { ...pageBytes, max: Number.MAX_SAFE_INTEGER }),
      pageBytes.max,
    ),
    waitSeconds: readWait(query),
  };
}

/** Who comes back to a live read says where it was: that wins over the address it came with. */
function readAnyStart(query: Query, lastEventId: string | undefined): PageQuery['start'] {
  if (lastEventId !== undefined && lastEventId !== '') return readStart({ cursor: lastEventId });
  const { consumer: name } = query;
  if (name === undefined) return readStart(query);
  if (query['cursor'] !== undefined || query['from'] !== undefined) {
    throw invalid('consumer', 'cannot stand beside cursor or from: give exactly one of them');
  }
  if (!consumerNamePattern.test(name))
    throw invalid('consumer', `is ${shown(name)}, which is no consumer's name`);
  return { at: 'consumer', name };
}

function readFilter(query: Query): Filter | undefined {
  const { name, key, shard } = query;
  if (name === undefined && key === undefined && shard === undefined) return undefined;
  const names = name?.split(',');
  const { max } = readLimits.filterNames;
  if (names !== undefined && (names.length > max || names.includes('')))
    throw invalid('name', `is ${shown(name ?? '')}: it must be 1 to ${max} names with commas between them`);
  return { names, key, shard: shard === undefined ? undefined : readShard(shard) };
}

function readShard(text: string): Shard {
  const [, index, count] = /^(\d{1,6})\/(\d{1,6})$/.exec(text) ?? [];
  const { max } = readLimits.shards;
  const shard = { index: Number(index), count: Number(count) };
  if (!(shard.count >= 1 && shard.count <= max && shard.index < shard.count)) {
    throw invalid('shard', `is ${shown(text)}: it must be i/n with n from 1 to ${max} and i from 0 to n − 1`);
  }
  return shard;
}

function readChoice<Choice extends string>(
  name: string,
  text: string | undefined,
  choices: readonly [Choice, ...Choice[]],
): Choice {
  if (text === undefined) return choices[0];
  const choice = choices.find((one) => one === text);
  if (choice === undefined) throw invalid(name, `is ${shown(text)}: it must be ${choices.join(' or ')}`);
  return choice;
}

/** A place in a stream. */
export function readStart(query: Query): Start {
  return readStartWith(
    query,
    decodeCursor,
    "is not a cursor: use a nextCursor or an event's cursor as it was given",
  );
}

function readTime(name: string, text: string | undefined): bigint | undefined {
  if (text === undefined) return undefined;
  const micros = parseTime(text);
  if (micros === undefined)
    throw invalid(name, `is ${shown(text)}: it must be an RFC 3339 time such as 2026-01-31T12:00:00Z`);
  return micros;
}
