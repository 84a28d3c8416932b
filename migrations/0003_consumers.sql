-- Named readers whose place the server keeps, one for each shard of theirs.
CREATE TABLE tidemark.consumers (
  consumer_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  created_at bigint NOT NULL DEFAULT tidemark.clock(),
  stream_id integer NOT NULL REFERENCES tidemark.streams ON DELETE CASCADE,
  shards smallint NOT NULL CHECK (shards BETWEEN 1 AND 64),
  name text NOT NULL CHECK (name ~ '^[A-Za-z0-9._-]{1,64}$'),
  UNIQUE (stream_id, name)
);
--> statement-breakpoint
-- A generation is one tenure of a shard: taking a shard, giving it back and seeking begin another, so that whoever had it before can
-- no longer commit. `order_time`, `seq` and `epoch` are the committed cursor. A row is written with every commit, hence the room.
CREATE TABLE tidemark.consumer_shards (
  consumer_id bigint NOT NULL REFERENCES tidemark.consumers ON DELETE CASCADE,
  order_time bigint NOT NULL,
  seq bigint NOT NULL,
  generation bigint NOT NULL DEFAULT 0,
  -- The member has the shard until then, and for as long after as nobody else takes it.
  expires_at bigint,
  epoch integer NOT NULL,
  shard smallint NOT NULL,
  member text,
  PRIMARY KEY (consumer_id, shard),
  CHECK ((member IS NULL) = (expires_at IS NULL))
) WITH (fillfactor = 50);
--> statement-breakpoint
-- Who asks for shards of a consumer, with or without success: by their number a member knows how many are its share.
CREATE TABLE tidemark.consumer_members (
  consumer_id bigint NOT NULL REFERENCES tidemark.consumers ON DELETE CASCADE,
  expires_at bigint NOT NULL,
  member text NOT NULL,
  PRIMARY KEY (consumer_id, member)
);
--> statement-breakpoint
-- The number of the tenure after this one. It follows the clock, so that a number is not given out again by a database that was
-- restored from a backup, or by a consumer that was deleted and made anew.
CREATE FUNCTION tidemark.next_generation(generation bigint) RETURNS bigint
LANGUAGE sql VOLATILE
AS $$ SELECT greatest(generation + 1, tidemark.clock() / 1000) $$;
