-- `append` as before, but for how it takes ids, and how it takes its arrays apart: `unnest` in the select list hands each value on, where in
-- FROM it would keep all of them in a table first.
DROP FUNCTION tidemark.append(integer[], uuid[], text[], text[], text[], text[], bigint[], bigint[], bigint[], bigint[], smallint[], text[], inet[]);
--> statement-breakpoint
-- Stores the events of one transaction and answers with the positions (from 1) of those whose id was already taken, or null.
-- Rows come in event-time order: position breaks ties. It must be called in autocommit, so that the commit is the end of the
-- fence, and it must stay VOLATILE, so that each of its statements sees what was committed before that statement began.
-- `look_first`: some ids are likely to be taken.
CREATE FUNCTION tidemark.append(
  row_streams integer[], row_claims uuid[], ids text[], names text[], keys text[], props text[],
  occurred_ats bigint[], sent_ats bigint[], received_ats bigint[], event_times bigint[], time_qualities smallint[],
  user_agents text[] DEFAULT NULL, ips inet[] DEFAULT NULL, look_first boolean DEFAULT true
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
  IF NOT look_first THEN
    -- Ids are new nearly always. To find out by failing costs a third less than to look for each of them.
    BEGIN
      INSERT INTO tidemark.claims (order_time, seq, claim, stream_id, claimed_on)
        SELECT r.order_time, base + r.position, r.claim, r.stream_id, arrival / 86400000000
        FROM (SELECT generate_subscripts(row_claims, 1) AS position, unnest(row_claims) AS claim, unnest(row_streams) AS stream_id,
          unnest(order_times) AS order_time) r
        ORDER BY r.stream_id, r.claim, r.position;
    EXCEPTION WHEN unique_violation THEN
      look_first := true;
    END;
  END IF;
  IF look_first THEN
    INSERT INTO tidemark.claims (order_time, seq, claim, stream_id, claimed_on)
      SELECT r.order_time, base + r.position, r.claim, r.stream_id, arrival / 86400000000
      FROM (SELECT generate_subscripts(row_claims, 1) AS position, unnest(row_claims) AS claim, unnest(row_streams) AS stream_id,
        unnest(order_times) AS order_time) r
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
  END IF;

  INSERT INTO tidemark.events
    (order_time, seq, event_time, received_at, occurred_at, sent_at, stream_id, bytes, time_quality, erased, id, name, key, props, user_agent, ip)
    SELECT r.order_time, base + r.position, r.event_time, r.received_at, r.occurred_at, r.sent_at, r.stream_id,
      octet_length(r.id) + octet_length(r.name) + coalesce(octet_length(r.key), 0) + coalesce(octet_length(r.props), 0)
        + coalesce(octet_length(r.user_agent), 0),
      r.time_quality, erased IS NOT NULL AND r.position = ANY (erased), r.id, r.name, r.key, r.props::json, r.user_agent, r.ip
    FROM (SELECT generate_subscripts(order_times, 1) AS position, unnest(order_times) AS order_time, unnest(row_streams) AS stream_id,
      unnest(ids) AS id, unnest(names) AS name, unnest(keys) AS key, unnest(props) AS props, unnest(occurred_ats) AS occurred_at,
      unnest(sent_ats) AS sent_at, unnest(received_ats) AS received_at, unnest(event_times) AS event_time,
      unnest(time_qualities) AS time_quality, unnest(user_agents) AS user_agent, unnest(ips) AS ip) r
    WHERE taken IS NULL OR r.position <> ALL (taken);
  RETURN taken;
END
$$;
