import { createClient } from '@tidemark/node';
import { Hono } from 'hono';
import { afterEach, beforeEach, describe, expect, onTestFinished, test } from 'vitest';
import { type SmallCollector, startSmallCollector } from './small-collector.ts';

let collector: SmallCollector;

beforeEach(async () => {
  collector = await startSmallCollector();
});

afterEach(() => collector.close());

function createTestClient() {
  const client = createClient({ url: collector.url, key: 'k' });
  onTestFinished(() => client.close());
  return client;
}

describe('the middleware', () => {
  test('tracks each request when it has been handled, without its query', async () => {
    const client = createTestClient();
    const app = new Hono();
    app.use(client.middleware());
    app.get('/orders/:id', (context) => context.text('here', 201));
    app.get('/broken', () => {
      throw new Error('broken');
    });
    app.onError((_error, context) => context.text('sorry', 500));
    expect(await (await app.request('/orders/7?token=secret')).text()).toBe('here');
    expect((await app.request('/broken')).status).toBe(500);
    await client.flush();
    expect(collector.stored).toMatchObject([
      { name: 'http.request', props: { method: 'GET', path: '/orders/7', status: 201 } },
      { name: 'http.request', props: { method: 'GET', path: '/broken', status: 500 } },
    ]);
    expect(JSON.stringify(collector.stored)).not.toContain('secret');
    expect(collector.stored[0]?.props?.['ms']).toBeTypeOf('number');
  });

  test('takes name, stream, key and props, and skips what it is told to', async () => {
    const client = createTestClient();
    const app = new Hono<{ Variables: { user: string } }>();
    app.use(
      client.middleware({
        name: 'api',
        stream: 'requests',
        key: (context) => context.req.path.slice(1),
        props: () => ({ region: 'north' }),
        skip: (context) => context.req.path === '/health',
      }),
    );
    app.get('*', (context) => context.text('ok'));
    for (const path of ['/health', '/anna']) await app.request(path);
    await client.flush();
    expect(collector.stored).toMatchObject([
      { name: 'api', stream: 'requests', key: 'anna', props: { region: 'north', status: 200 } },
    ]);
  });

  test('never changes an answer, whatever its functions do', async () => {
    const client = createTestClient();
    const app = new Hono();
    const broken = (): never => {
      throw new Error('a mistake');
    };
    app.use(client.middleware({ props: broken }));
    app.get('/', (context) => context.text('fine'));
    expect(await (await app.request('/')).text()).toBe('fine');
    expect(client.counters().queued).toBe(0);
  });
});
