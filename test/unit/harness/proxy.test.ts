import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { describe, expect, onTestFinished, test } from 'vitest';
import { eventually } from '../../harness/eventually.ts';
import { type Proxy, startProxy, type Weather } from '../../harness/proxy.ts';

describe('a network that does as it is told', () => {
  test('carries requests and replies of any size in fine and in slow weather', async () => {
    for (const weather of [{ kind: 'fine' }, { kind: 'slow', ms: 5 }] satisfies Weather[]) {
      const { proxy, received } = await echoBehind(weather);
      const body = 'x'.repeat(300_000);
      expect(await post(proxy, body)).toBe(body);
      expect(received()).toBe(300_000);
    }
  });

  test('breaks a connection in the middle of a request', async () => {
    const { proxy, received } = await echoBehind({ kind: 'requestCut', afterBytes: 50_000 });
    await expect(post(proxy, 'x'.repeat(200_000))).rejects.toThrow();
    expect(received()).toBeLessThan(50_000);
  });

  test('loses a reply that the server has given', async () => {
    const { proxy, received } = await echoBehind({ kind: 'replyLost', afterBytes: 0 });
    await expect(post(proxy, 'hello')).rejects.toThrow();
    await eventually('the server has the request', () => received() === 5);
  });

  test('lets one side go on when the other has nothing more to say', async () => {
    const body = 'x'.repeat(100_000);
    const { proxy } = await echoBehind({ kind: 'halfClosed', side: 'server', afterBytes: 1_000 });
    await expect(post(proxy, body)).rejects.toThrow();
    const { proxy: other, received } = await echoBehind({
      kind: 'halfClosed',
      side: 'client',
      afterBytes: 50_000,
    });
    // What the server says to half a request still arrives.
    expect(await post(other, body).catch(() => 'nothing')).not.toBe(body);
    expect(received()).toBeLessThan(50_000);
  });

  test('goes silent, and tells nobody', async () => {
    const { proxy, received } = await echoBehind({ kind: 'silent', afterBytes: 50_000 });
    const reply = post(proxy, 'x'.repeat(100_000));
    await eventually('the server has what still came', () => received() > 40_000);
    expect(received()).toBeLessThan(50_000);
    proxy.cut();
    await expect(reply).rejects.toThrow();
  });

  test('refuses in weather that lets nothing through, and the server hears nothing', async () => {
    const { proxy, received } = await echoBehind({ kind: 'refused' });
    await expect(post(proxy, 'hello')).rejects.toThrow();
    expect(received()).toBe(0);
  });

  test('refuses while there is no server behind it, and carries again once there is', async () => {
    const { proxy, port } = await echoBehind({ kind: 'fine' });
    proxy.aim(undefined);
    proxy.cut();
    await expect(post(proxy, 'hello')).rejects.toThrow();
    proxy.aim(port);
    expect(await post(proxy, 'hello')).toBe('hello');
  });
});

async function echoBehind(weather: Weather) {
  let received = 0;
  const server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on('error', () => undefined);
    request.on('data', (chunk: Buffer) => {
      received += chunk.length;
      chunks.push(chunk);
    });
    request.on('end', () => response.end(Buffer.concat(chunks)));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const proxy = await startProxy(() => weather);
  proxy.aim(port);
  onTestFinished(async () => {
    await proxy.close();
    server.closeAllConnections();
    server.close();
  });
  return { proxy, port, received: () => received };
}

async function post(proxy: Proxy, body: string): Promise<string> {
  const response = await fetch(proxy.url, { method: 'POST', body, headers: { connection: 'close' } });
  return response.text();
}
