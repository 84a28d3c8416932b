import { CloudEvent, HTTP } from 'cloudevents';
import type { FuzzRequest, Header } from './request.ts';

/** Requests as clients really send them: what is mutated. */
export function realRequests(key: string): readonly [FuzzRequest, ...FuzzRequest[]] {
  const bearer: Header = ['authorization', `Bearer ${key}`];
  const json: Header = ['content-type', 'application/json'];
  const post = (body: string, headers: readonly Header[] = [bearer, json], query = ''): FuzzRequest => ({
    method: 'POST',
    target: `/v1/events${query}`,
    headers,
    body: Buffer.from(body),
  });
  const cloudEvent = new CloudEvent({
    type: 'com.example.order.placed',
    source: '/shop',
    subject: 'user-7',
    time: '2026-01-31T12:00:00.000Z',
    data: { total: 12.5, text: 'é 事件' },
  });
  const structured = HTTP.structured(cloudEvent);
  const binary = HTTP.binary(cloudEvent);
  return [
    post(
      JSON.stringify({
        sentAt: '2026-01-31T12:00:02.120Z',
        clock: { offsetMs: -340, rttMs: 25 },
        events: events(3),
      }),
    ),
    post(JSON.stringify({ events: events(50) })),
    post(
      JSON.stringify({ events: events(2) }),
      [['content-type', 'text/plain;charset=UTF-8']],
      `?key=${key}&sentAt=2026-01-31T12:00:00Z&offsetMs=5&rttMs=20`,
    ),
    post(
      events(3)
        .map((event) => JSON.stringify(event))
        .join('\n'),
      [bearer, ['content-type', 'application/x-ndjson'], ['tidemark-sent-at', '2026-01-31T12:00:00Z']],
    ),
    post(String(structured.body), [bearer, ...headersOf(structured.headers)]),
    post(String(binary.body), [bearer, ...headersOf(binary.headers)]),
    post(JSON.stringify([cloudEvent.toJSON(), cloudEvent.toJSON()]), [
      bearer,
      ['content-type', 'application/cloudevents-batch+json'],
    ]),
    {
      method: 'GET',
      target: `/v1/pixel.gif?key=${key}&name=opened&stream=orders&id=mail-1&eventKey=user-7&t=2026-01-31T12:00:00Z&campaign=spring`,
      headers: [['referer', 'https://shop.example.com/cart']],
      body: undefined,
    },
  ];
}

function events(count: number): object[] {
  return Array.from({ length: count }, (_, i) => ({
    ...(i % 3 === 0 ? {} : { id: `0190c1d2-7a1b-7c3d-8e4f-${String(i).padStart(12, '0')}` }),
    stream: i % 2 === 0 ? 'orders' : 'web.clicks',
    name: 'order.placed',
    occurredAt: '2026-01-31T12:00:00.500Z',
    key: 'user-7',
    props: { total: 12.5, nested: { list: [1, null, true, 'é 事件 💥'], big: 9_007_199_254_740_991 } },
  }));
}

function headersOf(headers: object): Header[] {
  return Object.entries(headers).map(([name, value]) => [name, String(value)] as const);
}
