-- All times are integer microseconds since the Unix epoch. -62135596800000000 is 0001-01-01T00:00:00Z, the earliest
-- time there is here, and stands for "from the beginning".
CREATE SCHEMA IF NOT EXISTS tidemark;
--> statement-breakpoint
-- The one place where SQL reads a clock.
CREATE FUNCTION tidemark.clock() RETURNS bigint
LANGUAGE sql VOLATILE PARALLEL SAFE
AS $$ SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint $$;
--> statement-breakpoint
-- One row: the day on which the daily event partitions begin (days since the Unix epoch).
CREATE TABLE tidemark.installation (
  one boolean PRIMARY KEY DEFAULT true CHECK (one),
  first_day integer NOT NULL
);
--> statement-breakpoint
INSERT INTO tidemark.installation (first_day) SELECT tidemark.clock() / 86400000000;
--> statement-breakpoint
CREATE TABLE tidemark.streams (
  stream_id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  name text NOT NULL UNIQUE CHECK (name ~ '^[A-Za-z0-9._-]{1,64}$'),
  -- Random: a stream deleted and made anew is another stream, and so are its cursors.
  identity bigint NOT NULL UNIQUE DEFAULT ('x' || substr(md5(gen_random_uuid()::text), 1, 16))::bit(64)::bigint,
  epoch integer NOT NULL DEFAULT 1,
  epoch_start bigint NOT NULL DEFAULT -62135596800000000,
  watermark_delay bigint NOT NULL CHECK (watermark_delay >= 0),
  -- No event is placed below it. Never decreases.
  order_floor bigint NOT NULL DEFAULT -62135596800000000,
  -- Events below it are gone for every reader. Never decreases.
  retained_mark bigint NOT NULL DEFAULT -62135596800000000,
  -- Where the watermark stands still while the fence waits for this stream; null while it moves with the fence.
  held_watermark bigint,
  -- Counts the holds, so that a hold is released only by an advancer that saw it.
  hold integer NOT NULL DEFAULT 0,
  created_at bigint NOT NULL DEFAULT tidemark.clock()
);
--> statement-breakpoint
-- Every tick asks for the held streams: that costs the same however many others there are.
CREATE INDEX streams_held ON tidemark.streams (stream_id) WHERE held_watermark IS NOT NULL;
--> statement-breakpoint
-- One row, on which the order of all streams rests: see the fence.
CREATE TABLE tidemark.fence (
  one boolean PRIMARY KEY DEFAULT true CHECK (one),
  -- Every append that begins now arrives at or after it.
  floor bigint NOT NULL,
  -- The floor that is drained: watermarks of streams that are not held follow it.
  published bigint NOT NULL,
  -- What the clock said at the last raise.
  last_clock bigint NOT NULL
);
--> statement-breakpoint
INSERT INTO tidemark.fence (floor, published, last_clock) SELECT now, now, now FROM tidemark.clock() now;
--> statement-breakpoint
-- INCREMENT leaves room for the rows of one transaction: seq = nextval + position in the transaction.
CREATE SEQUENCE tidemark.event_seq AS bigint INCREMENT BY 65536 MINVALUE 65536;
--> statement-breakpoint
-- A claim says that an id is taken, and where its event stands. `claim` is the id itself where that is a UUID in canonical
-- form, else a hash of it: 16 bytes either way, and UUIDv7 keeps its locality.
CREATE TABLE tidemark.claims (
  order_time bigint NOT NULL,
  seq bigint NOT NULL,
  claim uuid NOT NULL,
  stream_id integer NOT NULL,
  claimed_on integer NOT NULL,
  PRIMARY KEY (stream_id, claim)
);
--> statement-breakpoint
-- Wide columns first, so that no byte is spent on alignment. `props` is json, not jsonb: it keeps numbers and text as sent,
-- and costs less to write.
CREATE TABLE tidemark.events (
  order_time bigint NOT NULL,
  seq bigint NOT NULL,
  event_time bigint NOT NULL,
  received_at bigint NOT NULL,
  occurred_at bigint,
  sent_at bigint,
  stream_id integer NOT NULL,
  -- UTF-8 bytes of id, name, key, props and user agent: what bounds a page, known without unpacking props.
  bytes integer NOT NULL,
  time_quality smallint NOT NULL,
  -- The person it was about asked for it: props, user agent and address are gone, the place stays.
  erased boolean NOT NULL DEFAULT false,
  id text NOT NULL,
  name text NOT NULL,
  key text,
  props json,
  -- Of the request that brought it; null unless its stream asks for them.
  user_agent text,
  ip inet
) PARTITION BY RANGE (order_time);
--> statement-breakpoint
CREATE INDEX events_order ON tidemark.events (stream_id, order_time, seq);
--> statement-breakpoint
-- Makes the daily partitions of [first, last] (days since the Unix epoch) that do not exist, and says how many it made. ATTACH
-- takes a weaker lock on the parent than CREATE … PARTITION OF, so that neither appends nor reads wait for it.
CREATE FUNCTION tidemark.make_partitions(first integer, last integer) RETURNS integer
LANGUAGE plpgsql VOLATILE
AS $$
DECLARE
  day integer;
  partition text;
  made integer := 0;
BEGIN
  PERFORM pg_advisory_xact_lock(1953064292, -1);
  FOR day IN SELECT generate_series(greatest(first, (SELECT first_day FROM tidemark.installation)), last) LOOP
    partition := 'events_' || to_char('epoch'::timestamp + day * interval '1 day', 'YYYYMMDD');
    CONTINUE WHEN to_regclass('tidemark.' || partition) IS NOT NULL;
    EXECUTE format('CREATE TABLE tidemark.%I (LIKE tidemark.events INCLUDING ALL)', partition);
    EXECUTE format('ALTER TABLE tidemark.events ATTACH PARTITION tidemark.%I FOR VALUES FROM (%s) TO (%s)',
      partition, day * 86400000000, (day + 1) * 86400000000);
    made := made + 1;
  END LOOP;
  RETURN made;
END
$$;
--> statement-breakpoint
DO $$
DECLARE
  first integer := (SELECT first_day FROM tidemark.installation);
BEGIN
  EXECUTE format('CREATE TABLE tidemark.events_history PARTITION OF tidemark.events FOR VALUES FROM (MINVALUE) TO (%s)',
    first * 86400000000);
  PERFORM tidemark.make_partitions(first, first + 7);
END
$$;
--> statement-breakpoint
CREATE TABLE tidemark.keys (
  key_id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
  -- SHA-256 of the key. Keys are long and random, so a fast hash is enough.
  hash bytea NOT NULL UNIQUE,
  role text NOT NULL CHECK (role IN ('write', 'read', 'admin')),
  -- Stream names or patterns ("*" stands for any run of characters); null: every stream.
  streams text[],
  default_stream text,
  origins text[],
  events_per_second integer,
  bytes_per_second integer,
  created_at bigint NOT NULL DEFAULT tidemark.clock(),
  revoked_at bigint
);
