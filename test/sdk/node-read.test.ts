import { type Client, createClient, TidemarkError } from '@tidemark/node';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { eventually } from '../harness/eventually.ts';
import { type SmallStream, startSmallStream } from './small-stream.ts';

describe('the node SDK reads', () => {
  let stream: SmallStream;
  let client: Client;
  beforeEach(async () => {
    stream = await startSmallStream();
    client = createClient({ url: stream.url, key: 'k', requestTimeoutMs: 2_000 });
  });
  afterEach(async () => {
    await client.close();
    await stream.down();
  });

  async function readAll(options: Parameters<Client['read']>[1] = {}): Promise<number[]> {
    const seen: number[] = [];
    for await (const event of client.read('s', { follow: false, ...options })) seen.push(Number(event.id));
    return seen;
  }

  test('G6 every event once and in order, over pages', async () => {
    stream.append(25);
    expect(await readAll()).toEqual(Array.from({ length: 25 }, (_, index) => index));
    expect(stream.asked).toEqual(['', 'c9', 'c19']);
  });

  test('from a cursor or a place, and with the filters it is given', async () => {
    stream.append(12);
    expect(await readAll({ cursor: 'c9' })).toEqual([10, 11]);
    await readAll({
      from: 'latest',
      until: '2026-01-01T00:00:00Z',
      names: ['a', 'b'],
      key: 'k',
      pageEvents: 7,
    });
    expect(Object.fromEntries(stream.queries.at(-2) ?? [])).toEqual({
      from: 'latest',
      until: '2026-01-01T00:00:00Z',
      name: 'a,b',
      key: 'k',
      limit: '7',
    });
  });

  test('waits for events to come until it is told to end', async () => {
    stream.append(1);
    const end = new AbortController();
    const seen: string[] = [];
    const loop = (async () => {
      for await (const event of client.read('s', { signal: end.signal })) seen.push(event.id);
    })();
    await eventually('it waits', () => stream.asked.includes('c0'));
    stream.append(1);
    await eventually('the new one came', () => seen.length === 2);
    end.abort();
    await loop;
    expect(seen).toEqual(['0', '1']);
  });

  test('an until that the stream has passed ends the loop', async () => {
    stream.append(3);
    expect(await readAll({ follow: true, until: '2025-12-31T00:00:00Z' })).toEqual([0, 1, 2]);
  });

  test('closing the client ends the loops', async () => {
    const loop = (async () => {
      for await (const event of client.read('s')) throw new Error(`unexpected ${event.id}`);
    })();
    await eventually('it waits', () => stream.asked.length === 1);
    await client.close();
    await loop;
  });

  test('G6 goes on where it was after cut connections, 429, 5xx, answers cut short, and a restart', async () => {
    stream.append(60);
    let requests = 0;
    stream.fault = (response) => {
      requests++;
      if (requests === 2) response.destroy();
      else if (requests === 3) response.writeHead(503, { 'retry-after': '0' }).end('{}');
      else if (requests === 4) response.writeHead(429, { 'retry-after': '0' }).end('busy');
      else if (requests === 6) {
        response.writeHead(200, { 'content-length': '1000' });
        response.write('{"events":[', () => response.destroy());
      } else if (requests === 7) response.end('<html>please log in</html>');
      else return false;
      return true;
    };
    const seen: number[] = [];
    for await (const event of client.read('s', { follow: false })) {
      seen.push(Number(event.id));
      if (event.id === '25') {
        await stream.down();
        setTimeout(() => void stream.up(), 300);
      }
    }
    expect(seen).toEqual(Array.from({ length: 60 }, (_, index) => index));
  });

  test('holds no more than one page: the next is asked for when this one is used up', async () => {
    stream.append(30);
    const loop = client.read('s', { follow: false });
    await loop.next();
    await eventually('one page was asked for', () => stream.asked.length === 1);
    for (let index = 0; index < 9; index++) await loop.next();
    expect(stream.asked).toHaveLength(1);
    await loop.next();
    expect(stream.asked).toHaveLength(2);
    await loop.return();
  });

  test('what waiting cannot mend is thrown, with the way out', async () => {
    stream.fault = (response) => {
      const problem = { status: 410, code: 'cursor_expired', detail: 'too old', earliestCursor: 'c7' };
      response.writeHead(410, { 'content-type': 'application/problem+json' }).end(JSON.stringify(problem));
      return true;
    };
    const error = await readAll({ cursor: 'c1' }).catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(TidemarkError);
    expect(error).toMatchObject({ status: 410, code: 'cursor_expired', problem: { earliestCursor: 'c7' } });
  });
});
