-- Events that were rejected, to be looked at and replayed. They are bounded by age and by their size together; what is beyond is
-- dropped, the oldest first, and counted.

CREATE TABLE tidemark.dead_letters (
  letter_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  rejected_at bigint NOT NULL DEFAULT tidemark.clock(),
  -- With these three a replay comes to the same event time.
  received_at bigint NOT NULL,
  sent_at bigint,
  offset_micros bigint,
  rtt_ms double precision,
  -- The id of an event that has none, so that a replay that is repeated stores it once.
  spare_id uuid NOT NULL DEFAULT gen_random_uuid(),
  -- What it counts for in the size of all.
  bytes integer NOT NULL,
  -- `raw` is a CloudEvent.
  cloud_event boolean NOT NULL,
  -- `raw` is only the beginning.
  truncated boolean NOT NULL,
  code text NOT NULL,
  message text NOT NULL,
  key_id text NOT NULL,
  stream text,
  event_id text,
  key text,
  raw text NOT NULL
);
--> statement-breakpoint
-- One row. Whoever adds or takes letters locks it first: so their size is always known, and an erasure that has locked it once has
-- waited for all who had not seen its mark.
CREATE TABLE tidemark.dead_letters_total (
  one boolean PRIMARY KEY DEFAULT true CHECK (one),
  letters bigint NOT NULL,
  bytes bigint NOT NULL
);
--> statement-breakpoint
INSERT INTO tidemark.dead_letters_total (letters, bytes) VALUES (0, 0);
--> statement-breakpoint
-- Whether a letter is about an erased person. One of which the key is not known counts if the key stands in its text as a string.
CREATE FUNCTION tidemark.letter_erased(letter_stream text, letter_key text, letter_raw text, letter_received_at bigint) RETURNS boolean
LANGUAGE sql STABLE
AS $$
  SELECT EXISTS (
    SELECT FROM tidemark.erasures e JOIN tidemark.streams s USING (stream_id)
    WHERE e.erased_through >= letter_received_at AND (letter_stream IS NULL OR s.name = letter_stream)
      AND CASE WHEN letter_key IS NULL THEN strpos(letter_raw, to_json(e.key)::text) > 0 ELSE e.key = letter_key END
  )
$$;
--> statement-breakpoint
-- Takes letters away; says how many there were.
CREATE FUNCTION tidemark.take_dead_letters(ids bigint[]) RETURNS integer
LANGUAGE plpgsql VOLATILE
AS $$
DECLARE
  taken integer;
  taken_bytes bigint;
BEGIN
  PERFORM FROM tidemark.dead_letters_total FOR UPDATE;
  WITH gone AS (DELETE FROM tidemark.dead_letters d WHERE d.letter_id = ANY (ids) RETURNING d.bytes)
  SELECT count(*), coalesce(sum(g.bytes), 0) INTO taken, taken_bytes FROM gone g;
  UPDATE tidemark.dead_letters_total t SET letters = t.letters - taken, bytes = t.bytes - taken_bytes WHERE taken > 0;
  RETURN taken;
END
$$;
--> statement-breakpoint
-- Adds letters, and drops the oldest of all where they would be larger than `bytes_max` together. Those of erased people are not kept.
CREATE FUNCTION tidemark.keep_dead_letters(added json, bytes_max bigint) RETURNS integer
LANGUAGE plpgsql VOLATILE
AS $$
DECLARE
  total bigint;
  dropped integer := 0;
  taken integer;
BEGIN
  PERFORM FROM tidemark.dead_letters_total FOR UPDATE;
  -- In a statement of its own, after the wait: see `dead_letters_total`.
  WITH kept AS (
    INSERT INTO tidemark.dead_letters
      (received_at, sent_at, offset_micros, rtt_ms, bytes, cloud_event, truncated, code, message, key_id, stream, event_id, key, raw)
      SELECT a.received_at, a.sent_at, a.offset_micros, a.rtt_ms, octet_length(a.raw) + octet_length(a.message) + 200,
        a.cloud_event, a.truncated, a.code, a.message, a.key_id, a.stream, a.event_id, a.key, a.raw
      FROM json_to_recordset(added) a (received_at bigint, sent_at bigint, offset_micros bigint, rtt_ms double precision,
        cloud_event boolean, truncated boolean, code text, message text, key_id text, stream text, event_id text, key text, raw text)
      WHERE NOT tidemark.letter_erased(a.stream, a.key, a.raw, a.received_at)
      RETURNING bytes
  ), summed AS (
    SELECT count(*) AS letters, coalesce(sum(bytes), 0) AS bytes FROM kept
  )
  UPDATE tidemark.dead_letters_total t SET letters = t.letters + s.letters, bytes = t.bytes + s.bytes FROM summed s
    RETURNING t.bytes INTO STRICT total;
  WHILE total > bytes_max LOOP
    taken := tidemark.take_dead_letters(ARRAY(
      SELECT o.letter_id FROM (
        SELECT d.letter_id, sum(d.bytes) OVER (ORDER BY d.letter_id) - d.bytes AS before
        FROM (SELECT * FROM tidemark.dead_letters ORDER BY letter_id LIMIT 1000) d
      ) o WHERE o.before < total - bytes_max
    ));
    EXIT WHEN taken = 0;
    dropped := dropped + taken;
    SELECT t.bytes INTO STRICT total FROM tidemark.dead_letters_total t;
  END LOOP;
  RETURN dropped;
END
$$;
--> statement-breakpoint
-- Drops up to `most` letters that were rejected before a moment.
CREATE FUNCTION tidemark.expire_dead_letters(before bigint, most integer) RETURNS integer
LANGUAGE sql VOLATILE
AS $$
  SELECT tidemark.take_dead_letters(ARRAY(
    SELECT d.letter_id FROM (SELECT * FROM tidemark.dead_letters ORDER BY letter_id LIMIT most) d WHERE d.rejected_at < before
  ))
$$;
--> statement-breakpoint
-- Drops the letters about an erased person among the next `most`. It waits for whoever adds letters and may not have seen the mark; those who
-- come later see it.
CREATE FUNCTION tidemark.erase_letters(stream integer, about text, most integer) RETURNS void
LANGUAGE plpgsql VOLATILE
AS $$
DECLARE
  mark tidemark.erasures;
  stream_name text := (SELECT s.name FROM tidemark.streams s WHERE s.stream_id = stream);
  seen integer;
  last bigint;
  found bigint[];
BEGIN
  SELECT * INTO mark FROM tidemark.erasures e WHERE e.stream_id = stream AND e.key = about FOR UPDATE;
  PERFORM FROM tidemark.dead_letters_total FOR UPDATE;
  SELECT count(*), max(d.letter_id), array_agg(d.letter_id) FILTER (WHERE d.received_at <= mark.erased_through
      AND (d.stream IS NULL OR d.stream = stream_name)
      AND CASE WHEN d.key IS NULL THEN strpos(d.raw, to_json(about)::text) > 0 ELSE d.key = about END)
    INTO seen, last, found
    FROM (SELECT * FROM tidemark.dead_letters l WHERE l.letter_id > mark.letter_id ORDER BY l.letter_id LIMIT most) d;
  UPDATE tidemark.erasures e SET letter_id = CASE WHEN seen < most THEN 9223372036854775807 ELSE last END,
    letters = e.letters + tidemark.take_dead_letters(coalesce(found, '{}'))
    WHERE e.stream_id = stream AND e.key = about;
END
$$;
