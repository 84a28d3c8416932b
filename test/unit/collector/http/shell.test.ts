import { describe, expect, test } from 'vitest';
import { createProblem, ProblemError } from '../../../../collector/src/errors.ts';
import { createShellApp } from '../../../harness/shell-app.ts';

describe('every reply', () => {
  test('lets pages of any origin read it, and says how full the collector is', async () => {
    const { app, replies } = createShellApp({ pressure: () => 0.256 });
    app.get('/made', () => replies.json({ ok: true }));
    app.get('/other', (context) => context.json({ ok: true }, 200, { 'Cache-Control': 'max-age=60' }));
    app.get('/throws', () => {
      throw new ProblemError(createProblem('malformed', 'no'));
    });
    for (const path of ['/made', '/other', '/throws', '/nowhere']) {
      const { headers } = await app.request(path, { headers: { Origin: 'https://shop.example.com' } });
      expect(headers.get('access-control-allow-origin')).toBe('*');
      expect(headers.get('access-control-expose-headers')).toBe('Retry-After, Tidemark-Pressure');
      expect(headers.get('vary')).toBe('Origin');
      expect(headers.get('tidemark-pressure')).toBe('0.26');
      expect(headers.get('cache-control')).toBe(path === '/other' ? 'max-age=60' : 'no-store');
    }
  });

  test('is counted under its route, not its path, and logged without its query', async () => {
    const { app, replies, metrics, clock, logged } = createShellApp();
    app.get('/v1/streams/:stream', async () => {
      await clock.sleep(30);
      return replies.json({});
    });
    const reading = app.request('/v1/streams/orders?key=hunter2');
    await clock.advance(30);
    await reading;
    await app.request('/v1/streams/orders', { method: 'DELETE' });
    await app.request('/favicon.ico');
    await app.request('/favicon.ico', { method: 'BREW' });
    const { body } = await metrics.text();
    const counted = [...body.matchAll(/^tidemark_requests_total\{(.*)\} 1$/gm)].map(([, labels]) => labels);
    expect(new Set(counted)).toEqual(
      new Set([
        'route="/v1/streams/:stream",method="GET",status="200"',
        'route="none",method="DELETE",status="405"',
        'route="none",method="GET",status="404"',
        'route="none",method="other",status="404"',
      ]),
    );
    expect(body).toContain('tidemark_request_seconds_sum{route="/v1/streams/:stream",method="GET"} 0.03');
    expect(JSON.parse(logged[0] ?? '')).toMatchObject({ path: '/v1/streams/orders', status: 200, ms: 30 });
    expect(logged.join('')).not.toContain('hunter2');
  });
});

describe('a problem', () => {
  test('is told by RFC 9457, with its numbers and the headers of its status', async () => {
    const { app, metrics } = createShellApp({ pressure: () => 0.4 });
    app.get('/full', () => {
      throw new ProblemError(createProblem('overloaded', 'full', { retryAfterMs: 1_001 }));
    });
    app.get('/limited', () => {
      throw new ProblemError(createProblem('rate_limited', 'quota', { retryAfterMs: 3 }));
    });
    app.get('/away', () => {
      throw new ProblemError(createProblem('store_unavailable', 'away', { retryAfterMs: 2_000 }));
    });
    app.get('/who', () => {
      throw new ProblemError(createProblem('unauthenticated', 'who'));
    });

    const full = await app.request('/full');
    expect(full.status).toBe(429);
    expect(full.headers.get('content-type')).toBe('application/problem+json');
    expect(full.headers.get('retry-after')).toBe('2');
    expect(full.headers.get('tidemark-pressure')).toBe('1.00');
    expect(await full.json()).toEqual({
      type: 'urn:tidemark:problem:overloaded',
      title: 'The collector is full: send again later',
      status: 429,
      code: 'overloaded',
      detail: 'full',
      retryAfterMs: 1_001,
    });

    const limited = await app.request('/limited');
    expect(limited.headers.get('retry-after')).toBe('1');
    expect(limited.headers.get('tidemark-pressure')).toBe('0.40');

    const away = await app.request('/away');
    expect([away.status, away.headers.get('retry-after'), away.headers.get('tidemark-pressure')]).toEqual([
      503,
      '2',
      '1.00',
    ]);

    const who = await app.request('/who');
    expect(who.headers.get('www-authenticate')).toMatch(/^Bearer/);
    expect(who.headers.get('retry-after')).toBeNull();
    expect((await metrics.text()).body).toContain('tidemark_problems_total{code="overloaded"} 1');
  });

  test('that nobody expected is told without its cause, which the log has under the same id', async () => {
    const { app, logged } = createShellApp();
    app.get('/fails', () => {
      throw Object.assign(new Error('relation "tidemark.secrets" does not exist'), {
        query: 'select hunter2',
      });
    });
    const response = await app.request('/fails?key=hunter2');
    expect(response.status).toBe(500);
    const text = await response.text();
    expect(text).not.toMatch(/relation|hunter2|\.ts/);
    const [, requestId = 'none'] = /request ([0-9a-f]{16})\./.exec(JSON.parse(text).detail) ?? [];
    const line = logged.map((one) => JSON.parse(one)).find((one) => one.level === 'error');
    expect(line).toMatchObject({ requestId, path: '/fails', err: { message: /secrets/ } });
    expect(logged.join('')).not.toContain('hunter2');
  });
});

describe('a path', () => {
  test('that is unknown is a 404 for every method', async () => {
    const { app, replies } = createShellApp();
    app.post('/v1/events', () => replies.json({}));
    for (const method of ['GET', 'POST', 'PUT', 'DELETE', 'OPTIONS', 'PROPFIND']) {
      const response = await app.request(`/v1/${'x'.repeat(300)}`, { method });
      expect(response.status).toBe(404);
      const problem = (await response.json()) as { code: string; detail: string };
      expect(problem.code).toBe('not_found');
      expect(problem.detail.length).toBeLessThan(300);
    }
    const head = await app.request('/nowhere', { method: 'HEAD' });
    expect([head.status, await head.text()]).toEqual([404, '']);
  });

  test('that is known says which methods it has', async () => {
    const { app, replies } = createShellApp();
    app.get('/v1/streams/:stream', () => replies.json({ stream: true }));
    app.put('/v1/streams/:stream', () => replies.json({}));
    for (const method of ['POST', 'DELETE', 'PATCH', 'PROPFIND']) {
      const response = await app.request('/v1/streams/orders', { method });
      expect(response.status).toBe(405);
      expect(response.headers.get('allow')).toBe('GET, HEAD, PUT, OPTIONS');
      expect(await response.json()).toMatchObject({
        code: 'method_not_allowed',
        detail: `${method} is not allowed on /v1/streams/orders; allowed are GET, HEAD, PUT, OPTIONS.`,
      });
    }
    const head = await app.request('/v1/streams/orders', { method: 'HEAD' });
    expect([head.status, head.headers.get('content-type'), await head.text()]).toEqual([
      200,
      'application/json',
      '',
    ]);
    const options = await app.request('/v1/streams/orders', { method: 'OPTIONS' });
    expect([options.status, options.headers.get('allow')]).toEqual([204, 'GET, HEAD, PUT, OPTIONS']);
  });
});
