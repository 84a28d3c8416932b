// What a client gets that is refused before all of its body was read, over real sockets.

import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { headers, type Problem } from '@tidemark/core/wire';
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { eventually } from '../harness/eventually.ts';
import { createTestDatabase, type TestDatabase } from '../harness/postgres.ts';
import { type ServedCollector, serveCollector, testKeys } from '../harness/served-collector.ts';

const bytesMax = 200_000;

let database: TestDatabase;
let collector: ServedCollector;

beforeAll(async () => {
  database = await createTestDatabase();
  collector = await serveCollector(database.url, {
    environment: {
      TIDEMARK_LIMIT_INFLIGHT_BYTES: String(bytesMax),
      TIDEMARK_LIMIT_BODY_BYTES: String(bytesMax),
    },
  });
});

afterAll(async () => {
  await collector.stop();
  await database.drop();
});

const head = `POST /v1/events HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${testKeys.write}\r\nContent-Type: application/json\r\n`;
const empty = `${head}Content-Length: 13\r\n\r\n{"events":[]}`;

interface Client {
  readonly socket: Socket;
  /** All that came so far. */
  readonly received: () => string;
  readonly answers: () => readonly Answer[];
}

interface Answer {
  readonly status: number;
  readonly head: string;
  readonly body: string;
}

function open(): Client {
  const socket = connect(Number(new URL(collector.url).port), '127.0.0.1');
  socket.on('error', () => {});
  onTestFinished(() => void socket.destroy());
  let received = '';
  socket.setEncoding('latin1').on('data', (chunk: string) => {
    received += chunk;
  });
  return { socket, received: () => received, answers: () => parseAnswers(received) };
}

/** Those that are there in full. */
function parseAnswers(text: string): readonly Answer[] {
  const end = text.indexOf('\r\n\r\n');
  if (end < 0) return [];
  const answerHead = text.slice(0, end);
  const length = Number(/content-length: (\d+)/i.exec(answerHead)?.[1]);
  const body = text.slice(end + 4, end + 4 + length);
  if (body.length < length) return [];
  return [
    { status: Number(answerHead.slice(9, 12)), head: answerHead, body },
    ...parseAnswers(text.slice(end + 4 + length)),
  ];
}

async function answered({ answers }: Client, count = 1): Promise<Answer> {
  await eventually(`there are ${count} answers`, () => answers().length >= count);
  const answer = answers()[count - 1];
  if (answer === undefined) throw new Error('no answer');
  return answer;
}

/** Takes three quarters of the room there is: it has said how much comes, and sends no more of it. */
async function fill(): Promise<Client> {
  const holder = open();
  holder.socket.write(`${head}Content-Length: ${(bytesMax * 3) / 4}\r\n\r\n{"events":[`);
  await eventually('the room is taken', async () => (await pressure()) > 0.7);
  return holder;
}

async function free({ socket }: Client): Promise<void> {
  socket.destroy();
  await eventually('there is room again', async () => (await pressure()) < 0.1);
}

async function pressure(): Promise<number> {
  const answer = await fetch(`${collector.url}/v1/time`);
  await answer.body?.cancel();
  return Number(answer.headers.get(headers.pressure));
}

function expectOverloaded({ status, head: answerHead, body }: Answer): void {
  const problem = JSON.parse(body) as Problem;
  expect([status, problem.code]).toEqual([429, 'overloaded']);
  expect(answerHead).toMatch(/retry-after: [1-9]\d*(\r\n|$)/i);
  expect(answerHead).toMatch(/tidemark-pressure: 1\.00(\r\n|$)/i);
  expect(problem.retryAfterMs).toBeGreaterThanOrEqual(1_000);
}

const chunkOf = (size: number) => `${size.toString(16)}\r\n${' '.repeat(size)}\r\n`;

describe('G5 a refusal reaches a client that is still sending', () => {
  test('before any of its body has come, where its length is announced; and what it held is free again', async () => {
    const holder = await fill();
    const client = open();
    client.socket.write(`${head}Content-Length: 60000\r\n\r\n`);
    expectOverloaded(await answered(client));
    await free(holder);
    const next = open();
    next.socket.write(empty);
    expect((await answered(next)).status).toBe(200);
  });

  test('as soon as its chunks do not fit', async () => {
    const holder = await fill();
    const client = open();
    client.socket.write(`${head}Transfer-Encoding: chunked\r\n\r\n${chunkOf(30_000)}`);
    await eventually('what came is counted', async () => (await pressure()) >= 0.9);
    expect(client.received()).toBe('');
    client.socket.write(chunkOf(60_000));
    expectOverloaded(await answered(client));
    await free(holder);
  });

  test('above the limit of a body, by its length or by its chunks', async () => {
    const announced = open();
    announced.socket.write(`${head}Content-Length: ${bytesMax + 1}\r\n\r\n`);
    const coming = open();
    coming.socket.write(`${head}Transfer-Encoding: chunked\r\n\r\n`);
    for (let sent = 0; sent <= bytesMax; sent += 10_000) coming.socket.write(chunkOf(10_000));
    for (const client of [announced, coming]) {
      const { status, body } = await answered(client);
      expect(status).toBe(413);
      expect(JSON.parse(body)).toMatchObject({ code: 'body_too_large', limit: bytesMax });
    }
  });
});

describe('the connection of a refused request', () => {
  test('G3 is kept where the rest of the body comes at once, and its bytes are not taken for a request', async () => {
    const holder = await fill();
    const client = open();
    // What is thrown away looks like a request that would be served.
    const smuggled = empty.repeat(400);
    client.socket.write(`${head}Content-Length: ${smuggled.length}\r\n\r\n${smuggled}`);
    expectOverloaded(await answered(client));
    await free(holder);
    client.socket.write(empty);
    expect((await answered(client, 2)).status).toBe(200);
    expect(client.answers().length).toBe(2);
  });

  test('is closed where the rest does not come, and the answer was there before', async () => {
    const holder = await fill();
    const client = open();
    client.socket.write(`${head}Content-Length: 60000\r\n\r\n{`);
    await once(client.socket, 'close');
    expectOverloaded(await answered(client));
    expect(client.answers().length).toBe(1);
    await free(holder);
  });
});
