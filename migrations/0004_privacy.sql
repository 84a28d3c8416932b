-- What is kept of the people behind events.
--
-- A stream says whether the address and the user agent of a request are stored with its events. An erasure is a mark: every
-- event of its stream and key that was received up to `erased_through` loses its contents, wherever it is.
--
-- - Events that are not stored yet (in a queue, a spool, a dead letter that is replayed) keep the time at which they were received, and
--   append erases them when it stores them. It looks for marks after it has taken the lock of the stream.
-- - So whoever takes the lock after the mark was committed sees it. The erasure waits for those who took it before, as the fence does,
--   and then walks once over what is stored by then, in stream order: whatever comes later, before or behind the place it has reached,
--   comes by an append that has seen the mark.
--
-- Marks stay for long after the walk, for spools and copies that come back late.

ALTER TABLE tidemark.streams
  ADD COLUMN client_ip text NOT NULL DEFAULT 'never' CHECK (client_ip IN ('never', 'truncated', 'whole')),
  ADD COLUMN user_agent boolean NOT NULL DEFAULT false;
--> statement-breakpoint
-- The streams that ask for something, which are few.
CREATE INDEX streams_asking ON tidemark.streams (stream_id) WHERE client_ip <> 'never' OR user_agent;
--> statement-breakpoint
CREATE TABLE tidemark.erasures (
  -- Every event received up to here is erased.
  erased_through bigint NOT NULL,
  -- The walk goes on behind this place.
  order_time bigint NOT NULL DEFAULT -62135596800000000,
  seq bigint NOT NULL DEFAULT 0,
  -- And not beyond this order time, which no event was beyond when it was drained.
  until bigint NOT NULL DEFAULT -62135596800000000,
  erased bigint NOT NULL DEFAULT 0,
  -- The same for dead letters, which come first; the end is the largest number there is.
  letter_id bigint NOT NULL DEFAULT 0,
  letters bigint NOT NULL DEFAULT 0,
  done_at bigint,
  stream_id integer NOT NULL REFERENCES tidemark.streams ON DELETE CASCADE,
  -- No transaction is left that took the lock of the stream before the mark was there.
  drained boolean NOT NULL DEFAULT false,
  key text NOT NULL,
  PRIMARY KEY (stream_id, key)
);
--> statement-breakpoint
-- Every append asks for the newest mark.
CREATE INDEX erasures_newest ON tidemark.erasures (erased_through);
--> statement-breakpoint
CREATE INDEX erasures_unfinished ON tidemark.erasures (erased_through) WHERE done_at IS NULL;
--> statement-breakpoint
-- Goes over up to `most` events of a stream behind a place and not beyond `until`, in one partition, and erases those of a key that were received up to a moment.
-- Nothing of it can be told from the order: `order_time` and `seq` stay.
CREATE FUNCTION tidemark.erase_events(
  partition text, stream integer, about text, through bigint, after_time bigint, after_seq bigint, until bigint, most integer,
  OUT seen integer, OUT gone integer, OUT last_time bigint, OUT last_seq bigint
)
LANGUAGE plpgsql VOLATILE
AS $$
BEGIN
  EXECUTE format(
    'WITH seen AS MATERIALIZED (
       SELECT e.ctid, e.order_time, e.seq, e.key, e.received_at, e.erased FROM tidemark.%1$I e
       WHERE e.stream_id = $1 AND e.order_time >= $2 AND (e.order_time, e.seq) > ($2, $3) AND e.order_time <= $7
       ORDER BY e.order_time, e.seq LIMIT $4
     ), gone AS (
       UPDATE tidemark.%1$I e SET props = NULL, user_agent = NULL, ip = NULL, erased = true,
         bytes = e.bytes - coalesce(octet_length(e.props::text), 0) - coalesce(octet_length(e.user_agent), 0)
       WHERE e.ctid = ANY (ARRAY(SELECT s.ctid FROM seen s WHERE s.key = $5 AND s.received_at <= $6 AND NOT s.erased)) AND NOT e.erased
       RETURNING 1
     ), last AS (SELECT s.order_time, s.seq FROM seen s ORDER BY s.order_time DESC, s.seq DESC LIMIT 1)
     SELECT (SELECT count(*) FROM seen), (SELECT count(*) FROM gone), (SELECT l.order_time FROM last l), (SELECT l.seq FROM last l)', partition)
    INTO seen, gone, last_time, last_seq USING stream, after_time, after_seq, most, about, through, until;
END
$$;
--> statement-breakpoint
-- One step of a walk that is drained: over up to `most` dead letters or events, and not through more than a hundred partitions.
CREATE FUNCTION tidemark.erase_step(stream integer, about text, most integer) RETURNS void
LANGUAGE plpgsql VOLATILE
AS $$
DECLARE
  mark tidemark.erasures;
  part record;
  step record;
  walked integer := 0;
  partitions integer := 0;
  reached_end boolean := true;
BEGIN
  SELECT * INTO mark FROM tidemark.erasures e WHERE e.stream_id = stream AND e.key = about AND e.drained AND e.done_at IS NULL FOR UPDATE;
  IF NOT FOUND THEN
    RETURN;
  ELSIF mark.letter_id < 9223372036854775807 THEN
    PERFORM tidemark.erase_letters(stream, about, most);
    RETURN;
  END IF;
  FOR part IN
    SELECT p.partition, p.upper FROM tidemark.partitions() p WHERE p.upper > mark.order_time AND p.lower <= mark.until AND NOT p.detaching ORDER BY p.lower
  LOOP
    IF walked = most OR partitions = 100 THEN
      reached_end := false;
      EXIT;
    END IF;
    BEGIN
      SELECT * INTO step FROM tidemark.erase_events(
        part.partition, stream, about, mark.erased_through, mark.order_time, mark.seq, mark.until, most - walked);
    EXCEPTION WHEN undefined_table THEN
      -- Dropped meanwhile.
      CONTINUE;
    END;
    mark.erased := mark.erased + step.gone;
    partitions := partitions + 1;
    walked := walked + step.seen;
    IF walked = most THEN
      mark.order_time := step.last_time;
      mark.seq := step.last_seq;
    ELSE
      mark.order_time := part.upper;
      mark.seq := 0;
    END IF;
  END LOOP;
  UPDATE tidemark.erasures e SET order_time = mark.order_time, seq = mark.seq, erased = mark.erased,
    done_at = CASE WHEN reached_end AND walked < most THEN tidemark.clock() END
    WHERE e.stream_id = stream AND e.key = about;
END
$$;
--> statement-breakpoint
CREATE FUNCTION tidemark.truncated(ip inet) RETURNS inet
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$ SELECT host(network(set_masklen(ip, CASE family(ip) WHEN 4 THEN 24 ELSE 48 END)))::inet $$;
--> statement-breakpoint
-- Of the addresses and user agents of rows, what their streams ask for now.
CREATE FUNCTION tidemark.asked_for(row_streams integer[], INOUT user_agents text[], INOUT ips inet[])
LANGUAGE sql STABLE
AS $$
  SELECT array_agg(CASE WHEN s.user_agent THEN r.user_agent END ORDER BY r.position),
    array_agg(CASE s.client_ip WHEN 'whole' THEN r.ip WHEN 'truncated' THEN tidemark.truncated(r.ip) END ORDER BY r.position)
  FROM unnest(row_streams, user_agents, ips) WITH ORDINALITY r (stream_id, user_agent, ip, position)
  JOIN tidemark.streams s USING (stream_id)
$$;
--> statement-breakpoint
-- Takes their contents from the rows that a mark is for, and says which these are: null when there are none.
CREATE FUNCTION tidemark.erase_rows(
  row_streams integer[], keys text[], received_ats bigint[], INOUT props text[], INOUT user_agents text[], INOUT ips inet[], OUT erased integer[]
)
LANGUAGE plpgsql STABLE
AS $$
BEGIN
  SELECT array_agg(r.position) INTO erased
    FROM unnest(row_streams, keys, received_ats) WITH ORDINALITY r (stream_id, key, received_at, position)
    JOIN tidemark.erasures e ON e.stream_id = r.stream_id AND e.key = r.key AND e.erased_through >= r.received_at;
  IF erased IS NOT NULL THEN
    SELECT array_agg(CASE WHEN p.position <> ALL (erased) THEN p.props END ORDER BY p.position),
      array_agg(CASE WHEN p.position <> ALL (erased) THEN p.user_agent END ORDER BY p.position),
      array_agg(CASE WHEN p.position <> ALL (erased) THEN p.ip END ORDER BY p.position)
      INTO props, user_agents, ips
      FROM unnest(props, user_agents, ips) WITH ORDINALITY p (props, user_agent, ip, position);
  END IF;
END
$$;
