-- Settings that every collector keeps in memory. One row says whether any of them has changed: collectors look at it every second.
CREATE TABLE tidemark.settings (
  one boolean PRIMARY KEY DEFAULT true CHECK (one),
  version bigint NOT NULL
);
--> statement-breakpoint
INSERT INTO tidemark.settings (version) VALUES (1);
--> statement-breakpoint
CREATE FUNCTION tidemark.settings_changed() RETURNS trigger
LANGUAGE plpgsql
AS $$
BEGIN
  UPDATE tidemark.settings SET version = version + 1;
  RETURN NULL;
END
$$;
--> statement-breakpoint
CREATE TRIGGER asking_begun AFTER INSERT ON tidemark.streams FOR EACH ROW
  WHEN (NEW.client_ip <> 'never' OR NEW.user_agent) EXECUTE FUNCTION tidemark.settings_changed();
--> statement-breakpoint
CREATE TRIGGER asking_changed AFTER UPDATE OF client_ip, user_agent ON tidemark.streams FOR EACH ROW
  WHEN (NEW.client_ip <> OLD.client_ip OR NEW.user_agent <> OLD.user_agent) EXECUTE FUNCTION tidemark.settings_changed();
--> statement-breakpoint
CREATE TRIGGER asking_ended AFTER DELETE ON tidemark.streams FOR EACH ROW
  WHEN (OLD.client_ip <> 'never' OR OLD.user_agent) EXECUTE FUNCTION tidemark.settings_changed();
--> statement-breakpoint
-- What the props of a stream's events of one name have to look like.
CREATE TABLE tidemark.schemas (
  schema_id bigint GENERATED ALWAYS AS IDENTITY UNIQUE,
  changed_at bigint NOT NULL DEFAULT tidemark.clock(),
  -- Events that did not, since the schema was put.
  warned bigint NOT NULL DEFAULT 0,
  rejected bigint NOT NULL DEFAULT 0,
  stream_id integer NOT NULL REFERENCES tidemark.streams ON DELETE CASCADE,
  name text NOT NULL,
  mode text NOT NULL CHECK (mode IN ('warn', 'enforce')),
  schema json NOT NULL,
  PRIMARY KEY (stream_id, name)
);
--> statement-breakpoint
CREATE TRIGGER schemas_changed AFTER INSERT OR DELETE OR UPDATE OF schema, mode ON tidemark.schemas FOR EACH STATEMENT
  EXECUTE FUNCTION tidemark.settings_changed();
