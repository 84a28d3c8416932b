// What one would write oneself: a Hono route that inserts what comes with Drizzle and answers when it is committed.

import { once } from 'node:events';
import { createAdaptorServer } from '@hono/node-server';
import { paths } from '@tidemark/core/wire';
import { drizzle } from 'drizzle-orm/postgres-js';
import { json, pgTable, text, timestamp } from 'drizzle-orm/pg-core';
import { Hono } from 'hono';
import postgres from 'postgres';

const connections = 20;
const events = pgTable('plain_events', {
  id: text('id').primaryKey(),
  stream: text('stream').notNull(),
  name: text('name').notNull(),
  key: text('key'),
  occurredAt: timestamp('occurred_at', { withTimezone: true, precision: 6 }).notNull(),
  receivedAt: timestamp('received_at', { withTimezone: true, precision: 6 }).notNull().defaultNow(),
  props: json('props').notNull(),
});

interface Body {
  readonly events: readonly {
    readonly id: string;
    readonly stream: string;
    readonly name: string;
    readonly key: string;
    readonly occurredAt: string;
    readonly props: object;
  }[];
}

process.on('message', (databaseUrl: string) => {
  const sql = postgres(databaseUrl, { max: connections, onnotice() {} });
  const database = drizzle(sql);
  const app = new Hono().post(paths.events, async (context) => {
    const body: Body = await context.req.json();
    const rows = body.events.map((event) => ({ ...event, occurredAt: new Date(event.occurredAt) }));
    await database.insert(events).values(rows);
    return context.json({ accepted: rows.length });
  });
  app.onError((error, context) =>
    context.text(error.cause instanceof Error ? error.cause.message : error.message, 500),
  );
  const server = createAdaptorServer({ fetch: app.fetch });
  const ready = sql`
    create table plain_events (
      id text primary key, stream text not null, name text not null, key text, occurred_at timestamptz(6) not null,
      received_at timestamptz(6) not null default now(), props json not null
    )`;
  void ready.then(() => server.listen(0, '127.0.0.1', () => process.send?.(server.address())));
});
process.on('disconnect', () => process.exit());
await once(process, 'disconnect');
