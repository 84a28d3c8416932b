import { setTimeout as sleep } from 'node:timers/promises';
import { type Committed, type Consumer, type Lease, paths } from '@tidemark/core/wire';
import type { Random } from '../harness/seed.ts';
import { type Ending, startClient } from './ending.ts';
import type { WorkedPage } from './history.ts';
import { type CallAnswer, type ReadPage, UnavailableError, UnexpectedAnswerError } from './http.ts';
import type { Reader, ReaderOptions } from './readers.ts';
import { nowMs, type StreamRecord } from './record.ts';

export interface MembersOptions {
  readonly consumer: string;
  readonly shards: number;
  /** More than shards, so that there is always somebody who takes over. */
  readonly members: number;
}

const ttlMs = 1_000;

/**
 * The members of a consumer: each leases a shard, works on some pages of it and commits them, and then gives it back, forgets about it, or
 * sleeps longer than the lease lasts and commits all the same.
 */
export function startMembers(
  { http, collectors, onSurprise }: Omit<ReaderOptions, 'resume'>,
  stream: StreamRecord,
  { consumer, shards, members }: MembersOptions,
  random: Random,
): Reader {
  const pages: WorkedPage[] = [];
  const done = new Set<number>();

  async function all(ending: Ending): Promise<void> {
    const made = await insist<Consumer>(
      'PUT',
      paths.consumer(stream.name, consumer),
      { from: 'earliest', shards },
      ending,
    );
    if (made === undefined) return;
    await Promise.all(Array.from({ length: members }, async (_, at) => run(`member-${at}`, ending)));
    const end = await insist<Consumer>('GET', paths.consumer(stream.name, consumer), undefined, ending);
    if (end === undefined) return;
    stream.consumer({ consumer, starts: cursorsOf(made), ends: cursorsOf(end), pages });
  }

  async function run(member: string, ending: Ending): Promise<void> {
    while (!ending.signal.aborted && done.size < shards) {
      const answer = await tryOnce<Lease>(
        'POST',
        paths.consumerLease(stream.name, consumer),
        { member, ttlMs },
        ending,
      );
      if (answer?.status === 200) await work(member, answer.body, ending);
      else await sleep(50 + random.below(250));
    }
  }

  async function work(member: string, { shard, generation, cursor }: Lease, ending: Ending): Promise<void> {
    let place = cursor;
    for (let turns = 1 + random.below(12); turns > 0 && !ending.signal.aborted; turns--) {
      const page = await read(shard, place, ending);
      if (page === undefined) continue;
      if (page.next !== place) {
        if (random.number() < 0.08) await sleep(ttlMs + random.below(800));
        const commit = await settle(shard, { cursor: page.next, generation }, ending);
        if (commit === 'refused') return;
        const { events, next } = page;
        pages.push({
          shard,
          member,
          from: place,
          answeredMs: nowMs(),
          events,
          next,
          certain: commit === 'committed',
        });
        if (commit === 'unknown') return;
        place = page.next;
      }
      if (ending.target !== undefined && !page.hasMore && page.watermark > ending.target) {
        done.add(shard);
        break;
      }
      if (random.number() < 0.3) await renew(member, shard, ending);
    }
    const held = { member, shard, generation };
    if (ending.target !== undefined || random.number() < 0.5)
      await tryOnce('DELETE', paths.consumerLease(stream.name, consumer), held, ending);
  }

  async function renew(member: string, shard: number, ending: Ending): Promise<void> {
    await tryOnce('POST', paths.consumerLease(stream.name, consumer), { member, ttlMs, shard }, ending);
  }

  async function read(
    shard: number,
    cursor: string,
    { target, signal }: Ending,
  ): Promise<ReadPage | undefined> {
    const limit = String(target === undefined ? 1 + random.below(200) : 5_000);
    const query = {
      cursor,
      shard: `${shard}/${shards}`,
      limit,
      wait: String(target === undefined ? random.below(2) : 0),
    };
    try {
      return await http.read(
        oneOf(),
        stream.name,
        query,
        AbortSignal.any([signal, AbortSignal.timeout(3_000)]),
      );
    } catch (error) {
      if (!(error instanceof UnavailableError)) onSurprise(error);
      return undefined;
    }
  }

  /** A commit without an answer is sent again a few times: it may have taken place. */
  async function settle(
    shard: number,
    body: object,
    ending: Ending,
  ): Promise<'committed' | 'refused' | 'unknown'> {
    for (let attempt = 0; attempt < 4; attempt++) {
      const answer = await tryOnce<Committed>(
        'PUT',
        paths.consumerCursor(stream.name, consumer, shard),
        body,
        ending,
      );
      if (answer?.status === 409) return attempt === 0 ? 'refused' : 'unknown';
      if (answer?.status === 200) {
        if (answer.body.outdated)
          onSurprise(new Error(`a commit of ${consumer} was outdated in its own tenure`));
        return 'committed';
      }
      await sleep(random.below(200));
    }
    return 'unknown';
  }

  async function insist<T>(method: 'GET' | 'PUT', path: string, body: object | undefined, ending: Ending) {
    while (!ending.signal.aborted) {
      const answer = await tryOnce<T>(method, path, body, ending);
      if (answer?.status === 200) return answer.body;
      if (answer !== undefined) throw new UnexpectedAnswerError(`${method} ${path}: 409 ${answer.body.code}`);
      await sleep(50);
    }
    return undefined;
  }

  /** Undefined: no answer just now. */
  async function tryOnce<T>(
    method: 'GET' | 'POST' | 'PUT' | 'DELETE',
    path: string,
    body: object | undefined,
    { signal }: Ending,
  ): Promise<CallAnswer<T> | undefined> {
    try {
      const patience = AbortSignal.any([signal, AbortSignal.timeout(1_000 + random.below(2_000))]);
      return await http.call<T>(method, oneOf(), path, body, patience);
    } catch (error) {
      if (!(error instanceof UnavailableError)) throw error;
      return undefined;
    }
  }

  function oneOf(): string {
    const collector = collectors[random.below(collectors.length)];
    if (collector === undefined) throw new Error('there is no collector');
    return collector.url;
  }

  return startClient(`the members of ${consumer}`, all);
}

const cursorsOf = ({ shards }: Consumer): readonly string[] => shards.map(({ cursor }) => cursor);
