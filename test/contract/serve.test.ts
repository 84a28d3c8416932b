import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { Hono } from 'hono';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createClock } from '../../collector/src/clock.ts';
import { type Listener, listen } from '../../collector/src/http/serve.ts';

let listener: Listener;

beforeAll(async () => {
  const app = new Hono().post('/', async (context) => context.text(await context.req.text()));
  listener = await listen(app, { host: '127.0.0.1', port: 0 }, createClock());
});

afterAll(() => listener.close(100));

/** What comes back until the connection ends. */
async function say(text: string, then: (socket: Socket) => void = () => undefined): Promise<string> {
  const socket = connect({ host: '127.0.0.1', port: listener.port });
  let answer = '';
  socket.setEncoding('utf8').on('data', (chunk: string) => {
    answer += chunk;
  });
  socket.on('error', () => undefined);
  socket.write(text, () => then(socket));
  await once(socket, 'close');
  return answer;
}

describe('a connection', () => {
  test('G3 that ends in the middle of a request gets no answer, so that nobody takes it for a refusal', async () => {
    const request = 'POST / HTTP/1.1\r\nHost: here\r\nContent-Length: 100\r\n\r\n';
    expect(await say(`${request}half`, (socket) => socket.end())).toBe('');
    expect(await say(request.slice(0, 30), (socket) => socket.end())).toBe('');
  });

  test('gets an answer and is closed when what it brings is no HTTP, or too much of it', async () => {
    expect(await say('HELO example.com\r\n\r\n')).toMatch(/^HTTP\/1\.1 400 Bad Request\r\nConnection: close/);
    const header = `POST / HTTP/1.1\r\nHost: here\r\nX: ${'x'.repeat(40_000)}\r\n\r\n`;
    expect(await say(header)).toMatch(/^HTTP\/1\.1 431 /);
  });
});
