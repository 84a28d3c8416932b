import { sql } from 'drizzle-orm';
import {
  bigint,
  boolean,
  customType,
  doublePrecision,
  index,
  inet,
  integer,
  json,
  pgSchema,
  primaryKey,
  smallint,
  text,
  unique,
  uuid,
} from 'drizzle-orm/pg-core';

import { clientIpModes, dedupeDaysDefault, earliestMicros, schemaModes } from '@tidemark/core/wire';

/** The tables as the migrations make them; a test holds this against a migrated database. Times are microseconds. */
const tidemark = pgSchema('tidemark');

const bytea = customType<{ data: Buffer }>({ dataType: () => 'bytea' });

const oid = customType<{ data: number }>({ dataType: () => 'oid' });

const micros = (name: string) => bigint(name, { mode: 'bigint' });

export const installation = tidemark.table('installation', {
  one: boolean('one').primaryKey().default(true),
  firstDay: integer('first_day').notNull(),
});

export const streams = tidemark.table(
  'streams',
  {
    streamId: integer('stream_id').primaryKey().generatedAlwaysAsIdentity(),
    name: text('name').notNull().unique(),
    identity: bigint('identity', { mode: 'bigint' })
      .notNull()
      .unique()
      .default(sql`('x' || substr(md5(gen_random_uuid()::text), 1, 16))::bit(64)::bigint`),
    epoch: integer('epoch').notNull().default(1),
    epochStart: micros('epoch_start').notNull().default(earliestMicros),
    watermarkDelay: micros('watermark_delay').notNull(),
    orderFloor: micros('order_floor').notNull().default(earliestMicros),
    retainedMark: micros('retained_mark').notNull().default(earliestMicros),
    heldWatermark: micros('held_watermark'),
    hold: integer('hold').notNull().default(0),
    createdAt: micros('created_at').notNull().default(sql`tidemark.clock()`),
    retentionDays: integer('retention_days'),
    dedupeDays: integer('dedupe_days').notNull().default(dedupeDaysDefault),
    clientIp: text('client_ip', { enum: clientIpModes }).notNull().default('never'),
    userAgent: boolean('user_agent').notNull().default(false),
  },
  (table) => [
    index('streams_held').on(table.streamId).where(sql`held_watermark is not null`),
    index('streams_asking').on(table.streamId).where(sql`client_ip <> 'never' or user_agent`),
  ],
);

export const fence = tidemark.table('fence', {
  one: boolean('one').primaryKey().default(true),
  floor: micros('floor').notNull(),
  published: micros('published').notNull(),
  lastClock: micros('last_clock').notNull(),
});

export const server = tidemark.table('server', {
  one: boolean('one').primaryKey().default(true),
  systemIdentifier: text('system_identifier'),
  timeline: text('timeline'),
  databaseOid: oid('database_oid').notNull(),
  fenceOid: oid('fence_oid').notNull(),
  backupLabel: text('backup_label'),
  changedAt: micros('changed_at').notNull().default(sql`tidemark.clock()`),
});

export const claims = tidemark.table(
  'claims',
  {
    orderTime: micros('order_time').notNull(),
    seq: bigint('seq', { mode: 'bigint' }).notNull(),
    claim: uuid('claim').notNull(),
    streamId: integer('stream_id').notNull(),
    claimedOn: integer('claimed_on').notNull(),
  },
  (table) => [primaryKey({ columns: [table.streamId, table.claim] })],
);

export const events = tidemark.table(
  'events',
  {
    orderTime: micros('order_time').notNull(),
    seq: bigint('seq', { mode: 'bigint' }).notNull(),
    eventTime: micros('event_time').notNull(),
    receivedAt: micros('received_at').notNull(),
    occurredAt: micros('occurred_at'),
    sentAt: micros('sent_at'),
    streamId: integer('stream_id').notNull(),
    bytes: integer('bytes').notNull(),
    timeQuality: smallint('time_quality').notNull(),
    erased: boolean('erased').notNull().default(false),
    id: text('id').notNull(),
    name: text('name').notNull(),
    key: text('key'),
    props: json('props'),
    userAgent: text('user_agent'),
    ip: inet('ip'),
  },
  (table) => [index('events_order').on(table.streamId, table.orderTime, table.seq)],
);

export const erasures = tidemark.table(
  'erasures',
  {
    erasedThrough: micros('erased_through').notNull(),
    orderTime: micros('order_time').notNull().default(earliestMicros),
    seq: bigint('seq', { mode: 'bigint' }).notNull().default(0n),
    until: micros('until').notNull().default(earliestMicros),
    erased: bigint('erased', { mode: 'bigint' }).notNull().default(0n),
    letterId: bigint('letter_id', { mode: 'bigint' }).notNull().default(0n),
    letters: bigint('letters', { mode: 'bigint' }).notNull().default(0n),
    doneAt: micros('done_at'),
    streamId: integer('stream_id')
      .notNull()
      .references(() => streams.streamId, { onDelete: 'cascade' }),
    drained: boolean('drained').notNull().default(false),
    key: text('key').notNull(),
  },
  (table) => [
    primaryKey({ columns: [table.streamId, table.key] }),
    index('erasures_newest').on(table.erasedThrough),
    index('erasures_unfinished').on(table.erasedThrough).where(sql`done_at is null`),
  ],
);

export const settings = tidemark.table('settings', {
  one: boolean('one').primaryKey().default(true),
  version: bigint('version', { mode: 'bigint' }).notNull(),
});

export const schemas = tidemark.table(
  'schemas',
  {
    schemaId: bigint('schema_id', { mode: 'bigint' }).generatedAlwaysAsIdentity().unique(),
    changedAt: micros('changed_at').notNull().default(sql`tidemark.clock()`),
    warned: bigint('warned', { mode: 'bigint' }).notNull().default(0n),
    rejected: bigint('rejected', { mode: 'bigint' }).notNull().default(0n),
    streamId: integer('stream_id')
      .notNull()
      .references(() => streams.streamId, { onDelete: 'cascade' }),
    name: text('name').notNull(),
    mode: text('mode', { enum: schemaModes }).notNull(),
    schema: json('schema').notNull(),
  },
  (table) => [primaryKey({ columns: [table.streamId, table.name] })],
);

export const deadLetters = tidemark.table('dead_letters', {
  letterId: bigint('letter_id', { mode: 'bigint' }).primaryKey().generatedAlwaysAsIdentity(),
  rejectedAt: micros('rejected_at').notNull().default(sql`tidemark.clock()`),
  receivedAt: micros('received_at').notNull(),
  sentAt: micros('sent_at'),
  offsetMicros: bigint('offset_micros', { mode: 'bigint' }),
  rttMs: doublePrecision('rtt_ms'),
  spareId: uuid('spare_id').notNull().defaultRandom(),
  bytes: integer('bytes').notNull(),
  cloudEvent: boolean('cloud_event').notNull(),
  truncated: boolean('truncated').notNull(),
  code: text('code').notNull(),
  message: text('message').notNull(),
  keyId: text('key_id').notNull(),
  stream: text('stream'),
  eventId: text('event_id'),
  key: text('key'),
  raw: text('raw').notNull(),
});

export const deadLettersTotal = tidemark.table('dead_letters_total', {
  one: boolean('one').primaryKey().default(true),
  letters: bigint('letters', { mode: 'bigint' }).notNull(),
  bytes: bigint('bytes', { mode: 'bigint' }).notNull(),
});

export const consumers = tidemark.table(
  'consumers',
  {
    consumerId: bigint('consumer_id', { mode: 'bigint' }).primaryKey().generatedAlwaysAsIdentity(),
    createdAt: micros('created_at').notNull().default(sql`tidemark.clock()`),
    streamId: integer('stream_id')
      .notNull()
      .references(() => streams.streamId, { onDelete: 'cascade' }),
    shards: smallint('shards').notNull(),
    name: text('name').notNull(),
  },
  (table) => [unique().on(table.streamId, table.name)],
);

const ofConsumer = () =>
  bigint('consumer_id', { mode: 'bigint' })
    .notNull()
    .references(() => consumers.consumerId, { onDelete: 'cascade' });

export const consumerShards = tidemark.table(
  'consumer_shards',
  {
    consumerId: ofConsumer(),
    orderTime: micros('order_time').notNull(),
    seq: bigint('seq', { mode: 'bigint' }).notNull(),
    generation: bigint('generation', { mode: 'bigint' }).notNull().default(0n),
    expiresAt: micros('expires_at'),
    epoch: integer('epoch').notNull(),
    shard: smallint('shard').notNull(),
    member: text('member'),
  },
  (table) => [primaryKey({ columns: [table.consumerId, table.shard] })],
);

export const consumerMembers = tidemark.table(
  'consumer_members',
  {
    consumerId: ofConsumer(),
    expiresAt: micros('expires_at').notNull(),
    member: text('member').notNull(),
  },
  (table) => [primaryKey({ columns: [table.consumerId, table.member] })],
);

export const keys = tidemark.table('keys', {
  keyId: uuid('key_id').primaryKey().defaultRandom(),
  hash: bytea('hash').notNull().unique(),
  role: text('role', { enum: ['write', 'read', 'admin'] }).notNull(),
  streams: text('streams').array(),
  defaultStream: text('default_stream'),
  origins: text('origins').array(),
  eventsPerSecond: integer('events_per_second'),
  bytesPerSecond: integer('bytes_per_second'),
  createdAt: micros('created_at').notNull().default(sql`tidemark.clock()`),
  revokedAt: micros('revoked_at'),
});

export const leavingPartitions = tidemark.table('leaving_partitions', {
  partition: text('partition').primaryKey(),
  upper: micros('upper').notNull(),
  since: micros('since').notNull().default(sql`tidemark.clock()`),
});

export const sweeps = tidemark.table('sweeps', {
  streamId: integer('stream_id').primaryKey(),
  swept: micros('swept').notNull().default(earliestMicros),
  deletedAt: micros('deleted_at'),
  sweptClaim: uuid('swept_claim').notNull().default('00000000-0000-0000-0000-000000000000'),
});

export const claimsWalk = tidemark.table('claims_walk', {
  one: boolean('one').primaryKey().default(true),
  page: bigint('page', { mode: 'bigint' }).notNull(),
});
