-- Epochs: what happens to cursors when the database is not the one it was.
--
-- A standby that takes over may lack the last commits of the server it follows, and a backup lacks more: cursors then stand above what
-- is stored, and new events would be placed below them, where their readers never look. So a change of server begins an epoch: from
-- `epoch_start` on, which is above everything that was ever placed or given, the order of every stream goes on; cursors of an
-- older epoch are told so, and where to go on.
--
-- Every connection asks `check_server` before its first use, so that nothing is stored on a new server before its epoch has begun.

-- One row, written by the first connection: the server on which the present epoch began, as far as it says who it is.
CREATE TABLE tidemark.server (
  one boolean PRIMARY KEY DEFAULT true CHECK (one),
  -- Another cluster; a restored dump.
  system_identifier text,
  -- A standby that was promoted; a backup that was recovered to a point in time.
  timeline text,
  -- A dump that was restored into the same cluster, or a copy of the database.
  database_oid oid NOT NULL,
  fence_oid oid NOT NULL,
  -- A base backup that was started as it is, which keeps the timeline.
  backup_label text,
  changed_at bigint NOT NULL DEFAULT tidemark.clock()
);
--> statement-breakpoint
-- What this server says of itself; null where this role, or this service, may not ask.
CREATE FUNCTION tidemark.this_server() RETURNS tidemark.server
LANGUAGE plpgsql VOLATILE
AS $$
DECLARE
  server tidemark.server;
BEGIN
  server.one := true;
  server.changed_at := tidemark.clock();
  server.fence_oid := 'tidemark.fence'::regclass::oid;
  SELECT d.oid INTO STRICT server.database_oid FROM pg_database d WHERE d.datname = current_database();
  -- Whatever a service makes of what it does not offer, it is the same to us: we do not know.
  BEGIN
    SELECT s.system_identifier::text INTO server.system_identifier FROM pg_control_system() s;
  EXCEPTION WHEN OTHERS THEN NULL;
  END;
  BEGIN
    server.timeline := left(pg_walfile_name(pg_current_wal_lsn()), 8);
  EXCEPTION WHEN OTHERS THEN NULL;
  END;
  BEGIN
    server.backup_label := md5(coalesce(pg_read_file('backup_label.old', 0, 10000, true), ''));
  EXCEPTION WHEN OTHERS THEN NULL;
  END;
  RETURN server;
END
$$;
--> statement-breakpoint
-- Begins an epoch in every stream, and says of how many and where the last of them begins. `above` is a floor that somebody has seen.
--
-- Appends may be under way that still place their events by the old order floor: all streams are held until the fence has drained them.
CREATE FUNCTION tidemark.begin_epoch(above bigint, OUT streams bigint, OUT epoch_start bigint)
LANGUAGE plpgsql VOLATILE
AS $$
DECLARE
  fence tidemark.fence;
BEGIN
  SELECT * INTO STRICT fence FROM tidemark.fence FOR UPDATE;
  epoch_start := greatest(tidemark.clock(), fence.floor, above);
  WITH begun AS (
    SELECT s.stream_id, greatest(begin_epoch.epoch_start, s.order_floor, 1 + (
      SELECT max(e.order_time) FROM tidemark.events e WHERE e.stream_id = s.stream_id AND e.order_time >= begin_epoch.epoch_start
    )) AS start
    FROM tidemark.streams s
  )
  UPDATE tidemark.streams s SET
    epoch = s.epoch + 1,
    epoch_start = b.start,
    order_floor = b.start,
    held_watermark = tidemark.watermark(s, fence.published),
    hold = s.hold + 1
    FROM begun b WHERE s.stream_id = b.stream_id;
  GET DIAGNOSTICS streams = ROW_COUNT;
  SELECT greatest(begin_epoch.epoch_start, max(s.order_floor)) INTO epoch_start FROM tidemark.streams s;
  UPDATE tidemark.fence f SET floor = greatest(f.floor, begin_epoch.epoch_start);
  -- Collectors remember ids of streams, perhaps of some that were lost: those numbers are not given out again.
  PERFORM setval('tidemark.streams_stream_id_seq', least(q.last_value + 100000, 2147483647)) FROM tidemark.streams_stream_id_seq q;
END
$$;
--> statement-breakpoint
-- Why one is not the other, in words; null: nothing says so.
CREATE FUNCTION tidemark.server_change(known tidemark.server, present tidemark.server) RETURNS text
LANGUAGE sql IMMUTABLE
AS $$
  SELECT CASE
    WHEN (known).system_identifier <> (present).system_identifier THEN 'it is another cluster'
    WHEN (known).timeline <> (present).timeline THEN 'its timeline is another one: a standby was promoted, or a backup recovered'
    WHEN (known).database_oid <> (present).database_oid OR (known).fence_oid <> (present).fence_oid
      THEN 'it was restored from a dump, or is a copy'
    WHEN (known).backup_label <> (present).backup_label THEN 'it was restored from a base backup'
  END
$$;
--> statement-breakpoint
-- To be asked before a connection is used. If this is not the server of the present epoch, or is behind a floor that the asker has
-- seen, an epoch begins: `changed` says why, and is null otherwise. `untold` is what the server does not tell, or ''.
CREATE FUNCTION tidemark.check_server(seen_floor bigint, OUT changed text, OUT untold text)
LANGUAGE plpgsql VOLATILE
AS $$
DECLARE
  present tidemark.server;
  known tidemark.server;
  floor bigint;
BEGIN
  IF pg_is_in_recovery() THEN
    RAISE EXCEPTION 'this server is a standby and takes no writes' USING ERRCODE = 'read_only_sql_transaction';
  END IF;
  present := tidemark.this_server();
  untold := concat_ws(', ', CASE WHEN present.system_identifier IS NULL THEN 'system identifier' END,
    CASE WHEN present.timeline IS NULL THEN 'timeline' END);
  SELECT * INTO known FROM tidemark.server;
  SELECT f.floor INTO STRICT floor FROM tidemark.fence f;
  IF known.one AND tidemark.server_change(known, present) IS NULL AND floor >= seen_floor THEN
    RETURN;
  END IF;

  -- Only one of those who found it begins the epoch; the others wait here and then look again.
  SELECT f.floor INTO STRICT floor FROM tidemark.fence f FOR UPDATE;
  SELECT * INTO known FROM tidemark.server;
  IF known.one THEN
    changed := tidemark.server_change(known, present);
    IF changed IS NULL AND floor < seen_floor THEN
      changed := 'the database has gone back to an earlier state';
    END IF;
  END IF;
  IF changed IS NOT NULL THEN
    PERFORM tidemark.begin_epoch(seen_floor);
  END IF;
  DELETE FROM tidemark.server;
  INSERT INTO tidemark.server (system_identifier, timeline, database_oid, fence_oid, backup_label)
    VALUES (coalesce(present.system_identifier, known.system_identifier), coalesce(present.timeline, known.timeline),
      present.database_oid, present.fence_oid, coalesce(present.backup_label, known.backup_label));
END
$$;
