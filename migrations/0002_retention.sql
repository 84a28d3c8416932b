-- How long things are kept.
--
-- What a reader may no longer see is decided by one number alone, the stream's retained mark: it is published first, and hides
-- at once. Taking the rows away comes later, in whatever way is cheapest, and nobody can tell when. Three things are taken:
--
-- - partitions, when the marks of all streams that have events there have passed them: noted in `leaving_partitions`; some
--   time later closed to new events, looked at once more, detached concurrently and dropped;
-- - events of streams that are kept shorter than their neighbours, and of deleted streams, in small deletes: `sweeps` says how far
--   these have come;
-- - claims that are older than their stream's dedupe window, in a walk over the pages of the table that never ends.
--
-- Every step can be repeated and may be interrupted anywhere: the next one, by whichever collector, finds how far it came.

ALTER TABLE tidemark.streams
  -- Null: for ever.
  ADD COLUMN retention_days integer CHECK (retention_days > 0),
  -- So long an id is known to be taken.
  ADD COLUMN dedupe_days integer NOT NULL DEFAULT 7 CHECK (dedupe_days > 0);
--> statement-breakpoint
CREATE TABLE tidemark.leaving_partitions (
  partition text PRIMARY KEY,
  upper bigint NOT NULL,
  since bigint NOT NULL DEFAULT tidemark.clock()
);
--> statement-breakpoint
CREATE TABLE tidemark.sweeps (
  stream_id integer PRIMARY KEY,
  -- No event of the stream is stored below it, but in partitions that leave as a whole.
  swept bigint NOT NULL DEFAULT -62135596800000000,
  -- Null: the stream exists, and only what is below its retained mark goes.
  deleted_at bigint,
  -- Of a deleted stream: the last of its claims that is gone.
  swept_claim uuid NOT NULL DEFAULT '00000000-0000-0000-0000-000000000000'
);
--> statement-breakpoint
-- One row: the page of the claims at which the walk goes on.
CREATE TABLE tidemark.claims_walk (
  one boolean PRIMARY KEY DEFAULT true CHECK (one),
  page bigint NOT NULL
);
--> statement-breakpoint
INSERT INTO tidemark.claims_walk (page) VALUES (0);
--> statement-breakpoint
CREATE FUNCTION tidemark.round_down(moment bigint, step bigint) RETURNS bigint
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$ SELECT moment - ((moment % step) + step) % step $$;
--> statement-breakpoint
-- Where the retained mark of a stream belongs: in steps, so that the earliest cursor stays good for a while, and never above the
-- watermark. Its "now" is the drained floor, which a jump of the clock does not move.
CREATE FUNCTION tidemark.mark_of(stream tidemark.streams, published bigint, step bigint) RETURNS bigint
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
  SELECT tidemark.round_down(
    least(tidemark.watermark(stream, published), published - (stream).retention_days * 86400000000), step)
$$;
--> statement-breakpoint
-- Publishes the retained marks of up to `most` streams, and says of how many. The mark of a stream never decreases.
CREATE FUNCTION tidemark.publish_marks(step bigint, most integer) RETURNS integer
LANGUAGE plpgsql VOLATILE
AS $$
DECLARE
  published bigint;
  due integer[];
  moved integer;
BEGIN
  SELECT array_agg(d.stream_id) INTO due FROM (
    SELECT s.stream_id FROM tidemark.streams s, tidemark.fence f
      WHERE s.retention_days IS NOT NULL AND s.retained_mark < tidemark.mark_of(s, f.published, step)
      LIMIT most
  ) d;
  IF due IS NULL THEN
    RETURN 0;
  END IF;
  -- Lock order: the fence row, then stream rows.
  SELECT f.published INTO STRICT published FROM tidemark.fence f FOR UPDATE;
  UPDATE tidemark.streams s SET retained_mark = tidemark.mark_of(s, published, step)
    WHERE s.stream_id = ANY (due) AND s.retained_mark < tidemark.mark_of(s, published, step);
  GET DIAGNOSTICS moved = ROW_COUNT;
  RETURN moved;
END
$$;
--> statement-breakpoint
-- The partitions of the events and their bounds.
CREATE FUNCTION tidemark.partitions() RETURNS TABLE (partition text, lower bigint, upper bigint, detaching boolean)
LANGUAGE sql VOLATILE
AS $$
  SELECT c.relname::text,
    coalesce((regexp_match(b.bound, 'FROM \(''?(-?\d+)'))[1]::bigint, -62135596800000000),
    (regexp_match(b.bound, 'TO \(''?(-?\d+)'))[1]::bigint,
    i.inhdetachpending
  FROM pg_inherits i
  JOIN pg_class c ON c.oid = i.inhrelid
  CROSS JOIN LATERAL (SELECT pg_get_expr(c.relpartbound, c.oid) AS bound) b
  WHERE i.inhparent = 'tidemark.events'::regclass
$$;
--> statement-breakpoint
-- A stream that still needs a partition, or null: one whose retained mark has not passed it and that has events there.
CREATE FUNCTION tidemark.needed_by(partition text, upper bigint) RETURNS integer
LANGUAGE plpgsql VOLATILE
AS $$
DECLARE
  found integer;
BEGIN
  EXECUTE format(
    'SELECT s.stream_id FROM tidemark.streams s, LATERAL (
       SELECT FROM tidemark.%I e WHERE e.stream_id = s.stream_id AND e.order_time >= s.retained_mark LIMIT 1
     ) kept WHERE s.retained_mark < $1 LIMIT 1', partition)
    INTO found USING upper;
  RETURN found;
END
$$;
--> statement-breakpoint
CREATE FUNCTION tidemark.refuse() RETURNS trigger
LANGUAGE plpgsql
AS $$
BEGIN
  RAISE EXCEPTION 'the partition % is about to be dropped', TG_TABLE_NAME USING ERRCODE = 'TM002';
END
$$;
--> statement-breakpoint
-- From its commit on no event comes into the partition any more, and all that ever came can be seen. Readers notice nothing.
CREATE FUNCTION tidemark.close_partition(partition text) RETURNS void
LANGUAGE plpgsql VOLATILE
AS $$
BEGIN
  EXECUTE format('CREATE OR REPLACE TRIGGER closed BEFORE INSERT ON tidemark.%I FOR EACH ROW EXECUTE FUNCTION tidemark.refuse()', partition);
END
$$;
--> statement-breakpoint
-- It is needed after all. What was left in it because it would go as a whole has to be swept.
CREATE FUNCTION tidemark.reopen_partition(partition text, lower bigint) RETURNS void
LANGUAGE plpgsql VOLATILE
AS $$
BEGIN
  EXECUTE format('DROP TRIGGER IF EXISTS closed ON tidemark.%I', partition);
  DELETE FROM tidemark.leaving_partitions l WHERE l.partition = reopen_partition.partition;
  UPDATE tidemark.sweeps s SET swept = lower WHERE s.swept > lower;
END
$$;
--> statement-breakpoint
CREATE FUNCTION tidemark.drop_partition(partition text) RETURNS void
LANGUAGE plpgsql VOLATILE
AS $$
BEGIN
  IF EXISTS (SELECT FROM pg_inherits WHERE inhrelid = to_regclass(format('tidemark.%I', partition))) THEN
    RAISE EXCEPTION 'the partition % is attached: dropping it would stop readers and writers', partition;
  END IF;
  EXECUTE format('DROP TABLE IF EXISTS tidemark.%I', partition);
  DELETE FROM tidemark.leaving_partitions l WHERE l.partition = drop_partition.partition;
END
$$;
--> statement-breakpoint
-- As before, and makes the partition of the history too when it is needed again. A partition that is leaving has its name
-- until it is gone: then nothing is made, and events that need it have to come again.
CREATE OR REPLACE FUNCTION tidemark.make_partitions(first integer, last integer) RETURNS integer
LANGUAGE plpgsql VOLATILE
SET lock_timeout = '2s'
AS $$
DECLARE
  first_day integer := (SELECT i.first_day FROM tidemark.installation i);
  day integer;
  partition text;
  made integer := 0;
BEGIN
  PERFORM pg_advisory_xact_lock(1953064292, -1);
  IF first < first_day AND to_regclass('tidemark.events_history') IS NULL THEN
    CREATE TABLE tidemark.events_history (LIKE tidemark.events INCLUDING ALL);
    EXECUTE format('ALTER TABLE tidemark.events ATTACH PARTITION tidemark.events_history FOR VALUES FROM (MINVALUE) TO (%s)',
      first_day * 86400000000);
    made := made + 1;
  END IF;
  FOR day IN SELECT generate_series(greatest(first, first_day), last) LOOP
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
-- Deletes up to `most` events of a stream that lie in [start, below), the oldest first. `last` is the order time of the last one.
CREATE FUNCTION tidemark.delete_events(
  partition text, stream integer, start bigint, below bigint, most integer, OUT deleted integer, OUT last bigint
)
LANGUAGE plpgsql VOLATILE
AS $$
BEGIN
  EXECUTE format(
    'WITH gone AS (
       DELETE FROM tidemark.%1$I WHERE ctid = ANY (ARRAY(
         SELECT ctid FROM tidemark.%1$I WHERE stream_id = $1 AND order_time >= $2 AND order_time < $3
         ORDER BY order_time, seq LIMIT $4
       )) RETURNING order_time
     ) SELECT count(*)::integer, max(order_time) FROM gone', partition)
    INTO deleted, last USING stream, start, below, most;
END
$$;
--> statement-breakpoint
-- Deletes up to `most` events of one stream, the oldest first, and notes how far that has come. `stream` is null when there was
-- nothing to do. Events of a stream that exists stay in partitions that go as a whole.
CREATE FUNCTION tidemark.sweep_events(most integer, OUT stream integer, OUT deleted integer)
LANGUAGE plpgsql VOLATILE
AS $$
DECLARE
  sweep record;
  part record;
  batch record;
  done bigint;
BEGIN
  deleted := 0;
  -- Two at once would each take what the other deletes for the end.
  IF NOT pg_try_advisory_xact_lock(1953064293, 4) THEN
    RETURN;
  END IF;
  SELECT * INTO sweep FROM (
    SELECT s.stream_id, coalesce(w.swept, -62135596800000000) AS start, tidemark.round_down(s.retained_mark, 86400000000) AS below,
        false AS whole
      FROM tidemark.streams s LEFT JOIN tidemark.sweeps w USING (stream_id)
      WHERE s.retained_mark > -62135596800000000
    UNION ALL
    SELECT w.stream_id, w.swept, 9223372036854775807, true FROM tidemark.sweeps w WHERE w.deleted_at IS NOT NULL
  ) pending WHERE pending.start < pending.below LIMIT 1;
  IF NOT FOUND THEN
    RETURN;
  END IF;
  stream := sweep.stream_id;
  done := sweep.below;
  FOR part IN
    SELECT p.partition, p.upper, l.partition IS NOT NULL AS leaving
      FROM tidemark.partitions() p LEFT JOIN tidemark.leaving_partitions l USING (partition)
      WHERE p.upper > sweep.start AND p.lower < sweep.below AND NOT p.detaching ORDER BY p.lower
  LOOP
    CONTINUE WHEN NOT sweep.whole AND part.upper <= sweep.below
      AND (part.leaving OR tidemark.needed_by(part.partition, part.upper) IS NULL);
    SELECT * INTO batch FROM tidemark.delete_events(part.partition, stream, sweep.start, sweep.below, most);
    IF batch.deleted > 0 THEN
      deleted := batch.deleted;
      done := CASE WHEN deleted < most THEN least(part.upper, sweep.below) ELSE batch.last END;
      EXIT;
    END IF;
  END LOOP;
  INSERT INTO tidemark.sweeps AS w (stream_id, swept) VALUES (stream, done)
    ON CONFLICT (stream_id) DO UPDATE SET swept = excluded.swept;
END
$$;
--> statement-breakpoint
-- The same with the claims of deleted streams whose events are gone. When nothing of such a stream is left, it is forgotten.
CREATE FUNCTION tidemark.sweep_claims(most integer, OUT stream integer, OUT deleted integer)
LANGUAGE plpgsql VOLATILE
AS $$
DECLARE
  sweep tidemark.sweeps;
  last uuid;
BEGIN
  deleted := 0;
  IF NOT pg_try_advisory_xact_lock(1953064293, 4) THEN
    RETURN;
  END IF;
  SELECT * INTO sweep FROM tidemark.sweeps w WHERE w.deleted_at IS NOT NULL AND w.swept = 9223372036854775807 LIMIT 1;
  IF NOT FOUND THEN
    RETURN;
  END IF;
  stream := sweep.stream_id;
  WITH gone AS (
    DELETE FROM tidemark.claims WHERE ctid = ANY (ARRAY(
      SELECT ctid FROM tidemark.claims WHERE stream_id = sweep.stream_id AND claim >= sweep.swept_claim ORDER BY claim LIMIT most
    )) RETURNING claim
  )
  SELECT count(*), (array_agg(claim ORDER BY claim DESC))[1] INTO deleted, last FROM gone;
  IF deleted < most THEN
    DELETE FROM tidemark.sweeps w WHERE w.stream_id = stream;
  ELSE
    UPDATE tidemark.sweeps w SET swept_claim = last WHERE w.stream_id = stream;
  END IF;
END
$$;
--> statement-breakpoint
-- Deletes the claims on the next `pages` pages that are older than their stream's dedupe window, and goes on behind the last page
-- from the first. Claims lie in the order in which they came, so that no index is needed to find the old ones, and appends pay
-- nothing.
CREATE FUNCTION tidemark.expire_claims(pages integer, OUT deleted integer, OUT pages_total bigint)
LANGUAGE plpgsql VOLATILE
AS $$
DECLARE
  today integer := (SELECT f.published / 86400000000 FROM tidemark.fence f);
  start bigint;
  first tid;
  beyond tid;
BEGIN
  pages_total := pg_relation_size('tidemark.claims') / current_setting('block_size')::integer;
  SELECT CASE WHEN w.page < pages_total THEN w.page ELSE 0 END INTO STRICT start FROM tidemark.claims_walk w FOR UPDATE;
  first := format('(%s,0)', start);
  beyond := format('(%s,0)', start + pages);
  DELETE FROM tidemark.claims c USING tidemark.streams s
    WHERE c.ctid >= first AND c.ctid < beyond
      AND s.stream_id = c.stream_id AND c.claimed_on < today - s.dedupe_days;
  GET DIAGNOSTICS deleted = ROW_COUNT;
  UPDATE tidemark.claims_walk SET page = start + pages;
END
$$;
--> statement-breakpoint
-- Deletes a stream; false when it was not there. Appends that hold the stream are waited for, and those that come meanwhile wait
-- and then find that it is gone: so all of an append's events are in the stream that goes, or none.
CREATE FUNCTION tidemark.delete_stream(stream integer) RETURNS boolean
LANGUAGE plpgsql VOLATILE
SET lock_timeout = '1s'
AS $$
BEGIN
  PERFORM pg_advisory_xact_lock(1953064291, stream);
  -- In a statement of its own, after the wait.
  DELETE FROM tidemark.streams s WHERE s.stream_id = stream;
  IF NOT FOUND THEN
    RETURN false;
  END IF;
  INSERT INTO tidemark.sweeps (stream_id, deleted_at) VALUES (stream, tidemark.clock())
    ON CONFLICT (stream_id) DO UPDATE SET deleted_at = excluded.deleted_at;
  RETURN true;
END
$$;
