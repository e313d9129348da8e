-- The audit log: entries by dense sequence number, appended only, each column derived from its bytes.

CREATE SCHEMA audit;

-- One row. Its lock is the sequencer: whoever appends holds it until commit, so sequence numbers have
-- neither gaps nor an order that differs from the order of commits (an identity column has both).
CREATE TABLE audit.log_head (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    size bigint NOT NULL CHECK (size >= 0)
);
INSERT INTO audit.log_head (size) VALUES (0);

CREATE TABLE audit.entry (
    seq bigint PRIMARY KEY,
    entry_id uuid NOT NULL UNIQUE,
    kind text NOT NULL,
    level text NOT NULL CHECK (level IN ('info', 'warn')),
    recorded_at timestamptz NOT NULL,
    actor text NOT NULL,
    skill_path text,
    invocation_id uuid,
    exit_code integer,
    elapsed_us bigint,
    entry bytea NOT NULL
);
CREATE INDEX entry_finished_by_skill ON audit.entry (skill_path, recorded_at)
    WHERE kind = 'invocation.finished';
CREATE INDEX entry_by_invocation ON audit.entry (invocation_id) WHERE invocation_id IS NOT NULL;

-- `json_to_record` reads each entry once; an operator a column would read it nine times.
CREATE FUNCTION audit.append(entries bytea[]) RETURNS TABLE (seq bigint)
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    first bigint;
BEGIN
    IF cardinality(entries) = 0 THEN
        RETURN;
    END IF;
    UPDATE audit.log_head SET size = size + cardinality(entries)
        RETURNING size - cardinality(entries) INTO STRICT first;
    INSERT INTO audit.entry (
        seq, entry_id, kind, level, recorded_at, actor,
        skill_path, invocation_id, exit_code, elapsed_us, entry
    )
    SELECT
        first + item.position - 1, doc.id, doc.kind, doc.level, doc.at, doc.actor,
        doc.skill, doc."invocationId", doc."exitCode", doc."elapsedUs", item.body
    FROM
        unnest(entries) WITH ORDINALITY AS item (body, position),
        json_to_record(convert_from(item.body, 'UTF8')::json) AS doc (
            id uuid, kind text, level text, at timestamptz, actor text,
            skill text, "invocationId" uuid, "exitCode" integer, "elapsedUs" bigint
        );
    RETURN QUERY SELECT generate_series(first, first + cardinality(entries) - 1);
END
$$;
REVOKE ALL ON FUNCTION audit.append(bytea[]) FROM PUBLIC;

CREATE FUNCTION audit.refuse_change() RETURNS trigger
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RAISE EXCEPTION '% of %.% refused: the audit log is append-only', TG_OP, TG_TABLE_SCHEMA, TG_TABLE_NAME
        USING ERRCODE = 'insufficient_privilege';
END
$$;

CREATE FUNCTION audit.refuse_shrinking() RETURNS trigger
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF NEW.only_row IS DISTINCT FROM OLD.only_row OR NEW.size <= OLD.size THEN
        RAISE EXCEPTION 'the audit log only grows: size % after %', NEW.size, OLD.size
            USING ERRCODE = 'insufficient_privilege';
    END IF;
    RETURN NEW;
END
$$;

-- ENABLE ALWAYS: session_replication_role = replica switches ordinary triggers off.
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON audit.entry
    FOR EACH STATEMENT EXECUTE FUNCTION audit.refuse_change();
ALTER TABLE audit.entry ENABLE ALWAYS TRIGGER append_only;

CREATE TRIGGER one_row BEFORE INSERT OR DELETE OR TRUNCATE ON audit.log_head
    FOR EACH STATEMENT EXECUTE FUNCTION audit.refuse_change();
ALTER TABLE audit.log_head ENABLE ALWAYS TRIGGER one_row;

CREATE TRIGGER only_grows BEFORE UPDATE ON audit.log_head
    FOR EACH ROW EXECUTE FUNCTION audit.refuse_shrinking();
ALTER TABLE audit.log_head ENABLE ALWAYS TRIGGER only_grows;
