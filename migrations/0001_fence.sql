-- The fence: why a reader that has read everything below a watermark never has to look there again.
--
-- `fence.floor` is a lower bound of the arrival of every append that has yet to read it. An append takes a shared advisory
-- lock of each of its streams and only then, in a new statement, reads the floor: so an append that took its lock after a
-- capture of the holders cannot have missed a floor that was committed before the capture. An advancer therefore
--   1. raises the floor and commits,
--   2. captures who holds the streams' locks, and which streams are held,
--   3. waits until those holders are gone,
--   4. publishes that floor.
-- From then on every event that becomes visible has an arrival of at least that floor, and so an order time of at least
-- floor - watermark delay, or the stream's order floor: that is its watermark.
--
-- The floor is one for all streams, so that ten thousand idle streams cost one row. What differs is held: a stream whose
-- holders do not go away, or whose delay was just changed, keeps its watermark in `held_watermark` until an advancer that saw
-- the hold (`hold` counts them) has drained the stream at a floor it raised later. Others go on meanwhile.
-- Any number of advancers may run. `floor`, `published`, `order_floor` and every watermark never decrease.
-- Lock order: the fence row, then stream rows.

CREATE FUNCTION tidemark.watermark(stream tidemark.streams, published bigint) RETURNS bigint
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
  SELECT coalesce((stream).held_watermark, greatest(published - (stream).watermark_delay, (stream).order_floor))
$$;
--> statement-breakpoint
-- Step 1. `witness` is the advancing process's own clock, in microseconds.
--
-- The floor follows the clock. After a step back of the clock it leads; it then gains half of what passes, so that time goes
-- on and the lead melts. A jump of more than a minute that the witness contradicts is not taken: the floor goes as far as the
-- witness does, or at twice the pace of the clock, so that a clock that stays where it is becomes the truth in the end.
CREATE FUNCTION tidemark.raise_floor(witness bigint) RETURNS bigint
LANGUAGE plpgsql VOLATILE
AS $$
DECLARE
  fence tidemark.fence;
  now bigint;
  passed bigint;
  raised bigint;
BEGIN
  SELECT * INTO STRICT fence FROM tidemark.fence FOR UPDATE;
  now := tidemark.clock();
  passed := least(greatest(now - fence.last_clock, 0), 2000000);
  raised := CASE
    WHEN now < fence.floor THEN fence.floor + passed / 2
    WHEN now - fence.floor > 60000000 AND now - witness > 60000000
      THEN least(now, greatest(fence.floor + passed * 2, witness))
    ELSE now
  END;
  UPDATE tidemark.fence SET floor = greatest(floor, raised), last_clock = now;
  RETURN greatest(fence.floor, raised);
END
$$;
--> statement-breakpoint
-- Who holds the lock of a stream. A holder is one transaction: a session's next one has another virtual transaction id.
CREATE FUNCTION tidemark.holders() RETURNS TABLE (stream_id integer, holder text)
LANGUAGE sql VOLATILE
AS $$
  SELECT objid::bigint::integer, virtualtransaction
  FROM pg_locks
  WHERE locktype = 'advisory' AND classid = 1953064291 AND objsubid = 2 AND granted
    AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
$$;
--> statement-breakpoint
-- Step 2, to be called after the raise has been committed. The held streams come from the snapshot of this statement, the
-- holders from a look at the locks that is taken after it.
CREATE FUNCTION tidemark.capture(OUT holder_streams integer[], OUT holders text[], OUT held_streams integer[], OUT holds integer[])
LANGUAGE plpgsql VOLATILE
-- Held streams are always few, which Postgres cannot know.
SET enable_seqscan = off
AS $$
BEGIN
  SELECT array_agg(s.stream_id), array_agg(s.hold) INTO held_streams, holds
    FROM tidemark.streams s WHERE s.held_watermark IS NOT NULL;
  SELECT array_agg(h.stream_id), array_agg(h.holder) INTO holder_streams, holders FROM tidemark.holders() h;
END
$$;
--> statement-breakpoint
-- Step 4. `slow` streams are those not drained at `raised`: they are held where they are. For each stream in `drained` (with
-- the hold that the advancer saw and the floor at which it was drained) the hold ends if no later floor is published, else its
-- watermark moves up to that floor. Returns what is published and held now, and which of the holds were placed by this call:
-- only those may be drained by a capture made before it. (Another hold may stand for a changed delay, which that capture
-- knows nothing of.)
CREATE FUNCTION tidemark.publish(
  raised bigint, slow integer[], drained integer[], drained_holds integer[], drained_floors bigint[],
  OUT published bigint, OUT held_streams integer[], OUT holds integer[], OUT placed_streams integer[]
)
LANGUAGE plpgsql VOLATILE
SET enable_seqscan = off
AS $$
DECLARE
  before bigint;
BEGIN
  SELECT f.published INTO STRICT before FROM tidemark.fence f FOR UPDATE;
  published := greatest(before, raised);
  IF cardinality(slow) > 0 THEN
    WITH placed AS (
      UPDATE tidemark.streams s SET held_watermark = tidemark.watermark(s, before), hold = s.hold + 1
        WHERE s.stream_id = ANY (slow) AND s.held_watermark IS NULL
        RETURNING s.stream_id
    )
    SELECT array_agg(p.stream_id) INTO placed_streams FROM placed p;
  END IF;
  UPDATE tidemark.fence f SET published = publish.published WHERE f.published < publish.published;
  IF cardinality(drained) > 0 THEN
    UPDATE tidemark.streams s SET held_watermark = CASE
        WHEN d.floor >= publish.published THEN NULL
        ELSE greatest(s.held_watermark, d.floor - s.watermark_delay, s.order_floor)
      END
      FROM unnest(drained, drained_holds, drained_floors) d (stream_id, hold, floor)
      WHERE s.stream_id = d.stream_id AND s.hold = d.hold AND s.held_watermark IS NOT NULL;
  END IF;
  SELECT array_agg(s.stream_id), array_agg(s.hold) INTO held_streams, holds
    FROM tidemark.streams s WHERE s.held_watermark IS NOT NULL;
END
$$;
--> statement-breakpoint
-- Changes how long a stream waits for stragglers. What is below the watermark stays as it is, and appends that still place
-- their events by the old delay are waited for: the stream is held until the fence has drained them.
CREATE FUNCTION tidemark.set_watermark_delay(stream integer, delay bigint) RETURNS void
LANGUAGE plpgsql VOLATILE
AS $$
DECLARE
  fence tidemark.fence;
BEGIN
  SELECT * INTO STRICT fence FROM tidemark.fence FOR UPDATE;
  UPDATE tidemark.streams s SET
    order_floor = greatest(s.order_floor, tidemark.watermark(s, fence.published), fence.floor - s.watermark_delay),
    held_watermark = tidemark.watermark(s, fence.published),
    hold = s.hold + 1,
    watermark_delay = delay
    WHERE s.stream_id = stream AND s.watermark_delay <> delay;
END
$$;
--> statement-breakpoint
-- Ends the transactions of our own role that are these holders: their clients are surely gone, and streams wait for them.
CREATE FUNCTION tidemark.end_holders(stale text[]) RETURNS integer
LANGUAGE sql VOLATILE
AS $$
  SELECT count(*) FILTER (WHERE pg_terminate_backend(pid))::integer
  FROM (
    SELECT DISTINCT l.pid
    FROM pg_locks l JOIN pg_stat_activity a USING (pid)
    WHERE l.locktype = 'advisory' AND l.classid = 1953064291 AND l.objsubid = 2 AND l.granted
      AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
      AND l.virtualtransaction = ANY (stale) AND a.usename = current_user AND l.pid <> pg_backend_pid()
  ) own
$$;
--> statement-breakpoint
-- Stores the events of one transaction and answers with the positions (from 1) of those whose id was already taken, or null.
-- Rows come in event-time order: position breaks ties. It must be called in autocommit, so that the commit is the end of the
-- fence, and it must stay VOLATILE, so that each of its statements sees what was committed before that statement began.
CREATE FUNCTION tidemark.append(
  row_streams integer[], row_claims uuid[], ids text[], names text[], keys text[], props text[],
  occurred_ats bigint[], sent_ats bigint[], received_ats bigint[], event_times bigint[], time_qualities smallint[],
  user_agents text[] DEFAULT NULL, ips inet[] DEFAULT NULL
) RETURNS integer[]
LANGUAGE plpgsql VOLATILE
AS $$
DECLARE
  arrival bigint;
  erased_through bigint;
  erased integer[];
  order_times bigint[];
  base bigint;
  claimed integer;
  taken integer[];
BEGIN
  IF current_setting('transaction_isolation') <> 'read committed' THEN
    RAISE EXCEPTION 'append needs READ COMMITTED, this transaction is %', current_setting('transaction_isolation')
      USING ERRCODE = 'invalid_transaction_state';
  END IF;

  -- Locks first, in ascending order, in a statement of their own.
  PERFORM pg_advisory_xact_lock_shared(1953064291, s.stream_id)
    FROM (SELECT DISTINCT r.stream_id FROM unnest(row_streams) r (stream_id) ORDER BY 1) s;

  -- Only now the floor: a floor raised before our lock could be captured is seen here.
  SELECT greatest(tidemark.clock(), f.floor), (SELECT max(e.erased_through) FROM tidemark.erasures e)
    INTO STRICT arrival, erased_through FROM tidemark.fence f;
  SELECT array_agg(greatest(least(r.event_time, arrival), arrival - s.watermark_delay, s.order_floor) ORDER BY r.position)
    INTO order_times
    FROM unnest(row_streams, event_times) WITH ORDINALITY r (stream_id, event_time, position)
    JOIN tidemark.streams s USING (stream_id);
  IF cardinality(order_times) IS DISTINCT FROM cardinality(row_streams) THEN
    RAISE EXCEPTION 'a stream of this append does not exist' USING ERRCODE = 'TM001';
  END IF;

  IF user_agents IS NOT NULL OR ips IS NOT NULL THEN
    SELECT a.user_agents, a.ips INTO user_agents, ips FROM tidemark.asked_for(row_streams, user_agents, ips) a;
  END IF;
  -- After the lock as well: an erasure waits for who took it before, and walks over what they stored.
  IF erased_through IS NOT NULL AND erased_through >= (SELECT min(r) FROM unnest(received_ats) r) THEN
    SELECT a.erased, a.props, a.user_agents, a.ips INTO erased, props, user_agents, ips
      FROM tidemark.erase_rows(row_streams, keys, received_ats, props, user_agents, ips) a;
  END IF;

  base := nextval('tidemark.event_seq');
  -- One order of claims everywhere, so that two copies of a batch cannot wait for each other in a circle.
  INSERT INTO tidemark.claims (order_time, seq, claim, stream_id, claimed_on)
    SELECT r.order_time, base + r.position, r.claim, r.stream_id, arrival / 86400000000
    FROM unnest(order_times, row_claims, row_streams) WITH ORDINALITY r (order_time, claim, stream_id, position)
    ORDER BY r.stream_id, r.claim, r.position
    ON CONFLICT DO NOTHING;
  GET DIAGNOSTICS claimed = ROW_COUNT;
  IF claimed < cardinality(row_streams) THEN
    SELECT array_agg(r.position) INTO taken
      FROM unnest(row_streams, row_claims) WITH ORDINALITY r (stream_id, claim, position)
      WHERE NOT EXISTS (
        SELECT FROM tidemark.claims c
        WHERE c.stream_id = r.stream_id AND c.claim = r.claim AND c.seq = base + r.position
      );
  END IF;

  INSERT INTO tidemark.events
    (order_time, seq, event_time, received_at, occurred_at, sent_at, stream_id, bytes, time_quality, erased, id, name, key, props, user_agent, ip)
    SELECT r.order_time, base + r.position, r.event_time, r.received_at, r.occurred_at, r.sent_at, r.stream_id,
      octet_length(r.id) + octet_length(r.name) + coalesce(octet_length(r.key), 0) + coalesce(octet_length(r.props), 0)
        + coalesce(octet_length(r.user_agent), 0),
      r.time_quality, erased IS NOT NULL AND r.position = ANY (erased), r.id, r.name, r.key, r.props::json, r.user_agent, r.ip
    FROM unnest(order_times, row_streams, ids, names, keys, props, occurred_ats, sent_ats, received_ats, event_times, time_qualities,
        user_agents, ips)
      WITH ORDINALITY r (order_time, stream_id, id, name, key, props, occurred_at, sent_at, received_at, event_time, time_quality,
        user_agent, ip, position)
    WHERE taken IS NULL OR r.position <> ALL (taken);
  RETURN taken;
END
$$;
