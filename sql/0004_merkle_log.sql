-- The audit log as a Merkle tree (RFC 6962): hashes over all entries, kept by the one function that appends.

-- The service works as this role, which can append and read, and can neither change nor remove an entry.
DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'cyberos_service') THEN
        CREATE ROLE cyberos_service NOLOGIN;
    END IF;
    EXECUTE format('GRANT cyberos_service TO %I', current_user);
EXCEPTION
    WHEN duplicate_object OR unique_violation THEN
        NULL;  -- another database of this server was migrated at the same moment
    WHEN insufficient_privilege THEN
        RAISE EXCEPTION 'role cyberos_service is missing and % may not create it', current_user
            USING HINT = format('As an administrator: CREATE ROLE cyberos_service NOLOGIN; '
                'GRANT cyberos_service TO %I WITH ADMIN OPTION;', current_user);
END
$$;

-- Hashes of the complete subtrees that the log consists of, the largest first (RFC 9162, section 2.1.2).
ALTER TABLE audit.log_head ADD COLUMN frontier bytea[] NOT NULL DEFAULT '{}';
ALTER TABLE audit.log_head ADD COLUMN log_id uuid NOT NULL DEFAULT gen_random_uuid();

-- A batch that is sent again, because its answer was lost, is found here and not stored twice.
CREATE TABLE audit.batch (
    batch_id uuid PRIMARY KEY,
    first_seq bigint NOT NULL,
    entries integer NOT NULL,
    stored_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX batch_by_time ON audit.batch USING brin (stored_at);

-- 256 hashes at once (C2SP tlog-tiles): of entries at level 0, of the tiles below at the others. They outlive
-- the entries, so that proofs hold when those are dropped. `root` is the tile's own hash.
CREATE TABLE audit.tile (
    level smallint NOT NULL,
    index bigint NOT NULL,
    hashes bytea NOT NULL CHECK (octet_length(hashes) = 256 * 32),
    root bytea NOT NULL CHECK (octet_length(root) = 32),
    PRIMARY KEY (level, index)
);

-- How many invocations of a skill ended in an hour, and between which entries they stand.
CREATE TABLE audit.invocation_hour (
    skill_path text NOT NULL,
    hour timestamptz NOT NULL,
    invocations bigint NOT NULL,
    first_seq bigint NOT NULL,
    last_seq bigint NOT NULL,
    PRIMARY KEY (skill_path, hour)
) WITH (fillfactor = 70);
CREATE INDEX invocation_hour_by_hour ON audit.invocation_hour (hour);  -- for whoever asks for many skills

-- The first entry of each hour. Times run back now and then, sequence numbers never do: whoever reads "since"
-- begins here, and misses nothing. The first to come has the lowest number, so nothing is ever updated.
CREATE TABLE audit.entry_hour (
    hour timestamptz PRIMARY KEY,
    first_seq bigint NOT NULL
);

-- How many entries of each sort an hour has; `outcome` is an exit code, the code of a refusal, or what became
-- of a host call; `bucket` is an eighth of a power of two of microseconds, -1 for what took no time.
CREATE TABLE audit.tally_hour (
    hour timestamptz NOT NULL,
    kind text NOT NULL,
    level text NOT NULL,
    executor text NOT NULL,
    outcome text NOT NULL,
    bucket integer NOT NULL,
    entries bigint NOT NULL,
    PRIMARY KEY (hour, kind, level, executor, outcome, bucket)
) WITH (fillfactor = 70);

-- The same of all hours, so that what is asked every few seconds does not grow with the log.
CREATE TABLE audit.tally_total (
    kind text NOT NULL,
    level text NOT NULL,
    executor text NOT NULL,
    outcome text NOT NULL,
    bucket integer NOT NULL,
    entries bigint NOT NULL,
    elapsed_us bigint NOT NULL,
    PRIMARY KEY (kind, level, executor, outcome, bucket)
) WITH (fillfactor = 50);

ALTER TABLE audit.entry RENAME TO entry_before_tree;
ALTER INDEX audit.entry_pkey RENAME TO entry_before_tree_pkey;
DROP INDEX audit.entry_finished_by_skill, audit.entry_by_invocation;

CREATE TABLE audit.entry (
    seq bigint PRIMARY KEY,
    entry_id uuid NOT NULL,
    kind text NOT NULL,
    level text NOT NULL CHECK (level IN ('info', 'warn')),
    recorded_at timestamptz NOT NULL CHECK (isfinite(recorded_at)),
    actor text NOT NULL,
    skill_path text,
    invocation_id uuid,
    exit_code integer,
    elapsed_us bigint,
    entry bytea NOT NULL
) PARTITION BY RANGE (seq);
CREATE INDEX entry_by_invocation ON audit.entry (invocation_id) WHERE invocation_id IS NOT NULL;
CREATE INDEX entry_finished_by_skill ON audit.entry (skill_path, seq) WHERE kind = 'invocation.finished';
CREATE INDEX entry_finished_by_actor ON audit.entry (actor, seq) WHERE kind = 'invocation.finished';
-- By the primary key alone a page of runs would step over all that stands between them: a run may make a
-- hundred thousand host calls that are entries of their own.
CREATE INDEX entry_finished ON audit.entry (seq) WHERE kind = 'invocation.finished';
CREATE INDEX entry_decided_by_actor ON audit.entry (actor, seq)
    WHERE kind NOT LIKE 'invocation.%' AND kind NOT LIKE 'host.%';
CREATE INDEX entry_decided ON audit.entry (seq)
    WHERE kind NOT LIKE 'invocation.%' AND kind NOT LIKE 'host.%';
CREATE INDEX entry_decided_by_time ON audit.entry (recorded_at)
    WHERE kind NOT LIKE 'invocation.%' AND kind NOT LIKE 'host.%';
CREATE INDEX entry_by_time ON audit.entry USING brin (recorded_at);

CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON audit.entry
    FOR EACH STATEMENT EXECUTE FUNCTION audit.refuse_change();
ALTER TABLE audit.entry ENABLE ALWAYS TRIGGER append_only;
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON audit.tile
    FOR EACH STATEMENT EXECUTE FUNCTION audit.refuse_change();
ALTER TABLE audit.tile ENABLE ALWAYS TRIGGER append_only;

CREATE OR REPLACE FUNCTION audit.refuse_shrinking() RETURNS trigger
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF (NEW.only_row, NEW.log_id) IS DISTINCT FROM (OLD.only_row, OLD.log_id) OR NEW.size <= OLD.size THEN
        RAISE EXCEPTION 'the audit log only grows: size % after %', NEW.size, OLD.size
            USING ERRCODE = 'insufficient_privilege';
    END IF;
    RETURN NEW;
END
$$;

-- 1,048,576 entries a partition: a whole number of tiles of level 1, and some gigabyte.
CREATE FUNCTION audit.partition_entries() RETURNS bigint
LANGUAGE sql IMMUTABLE
AS 'SELECT 1048576::bigint';

-- Make what is missing of the partitions up to some ahead of the last entry. Attaching one blocks neither
-- those who append nor those who read.
CREATE FUNCTION audit.make_partitions(ahead integer) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    width CONSTANT bigint := audit.partition_entries();
    number bigint;
    name text;
BEGIN
    PERFORM pg_advisory_xact_lock(x'6379626572617564'::bigint);
    FOR number IN
        SELECT wanted FROM audit.log_head, generate_series(size / width, size / width + least(ahead, 64)) AS wanted
        WHERE to_regclass(format('audit.entry_%s', lpad(wanted::text, 8, '0'))) IS NULL
    LOOP
        name := format('entry_%s', lpad(number::text, 8, '0'));
        EXECUTE format('CREATE TABLE audit.%I (LIKE audit.entry INCLUDING CONSTRAINTS)', name);
        EXECUTE format(
            'CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON audit.%I '
            'FOR EACH STATEMENT EXECUTE FUNCTION audit.refuse_change()', name);
        EXECUTE format('ALTER TABLE audit.%I ENABLE ALWAYS TRIGGER append_only', name);
        EXECUTE format(
            'ALTER TABLE audit.entry ATTACH PARTITION audit.%I FOR VALUES FROM (%s) TO (%s)',
            name, number * width, (number + 1) * width);
    END LOOP;
END
$$;

-- The hash of a complete subtree, from the hashes of its leaves: a power of two of them.
CREATE FUNCTION audit.subtree_root(hashes bytea) RETURNS bytea
LANGUAGE plpgsql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    WHILE octet_length(hashes) > 32 LOOP
        hashes := (
            SELECT string_agg(sha256('\x01'::bytea || substr(hashes, 64 * pair + 1, 64)), ''::bytea ORDER BY pair)
            FROM generate_series(0, octet_length(hashes) / 64 - 1) AS pair
        );
    END LOOP;
    RETURN hashes;
END
$$;

-- Keep the tiles that a log of `new_size` entries has completed since it had `old_size`.
CREATE FUNCTION audit.keep_tiles(old_size bigint, new_size bigint) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    span bigint := 256;
    depth smallint := 0;
BEGIN
    WHILE old_size / span < new_size / span LOOP
        IF depth = 0 THEN
            INSERT INTO audit.tile (level, index, hashes, root)
            SELECT 0, made.index, made.hashes, audit.subtree_root(made.hashes)
            FROM (
                SELECT seq / 256 AS index, string_agg(sha256('\x00'::bytea || entry), ''::bytea ORDER BY seq) AS hashes
                FROM audit.entry
                WHERE seq >= old_size / 256 * 256 AND seq < new_size / 256 * 256
                GROUP BY seq / 256
            ) AS made;
        ELSE
            INSERT INTO audit.tile (level, index, hashes, root)
            SELECT depth, made.index, made.hashes, audit.subtree_root(made.hashes)
            FROM (
                SELECT below.index / 256 AS index, string_agg(root, ''::bytea ORDER BY below.index) AS hashes
                FROM audit.tile AS below
                WHERE level = depth - 1
                    AND below.index >= old_size / span * 256 AND below.index < new_size / span * 256
                GROUP BY below.index / 256
            ) AS made;
        END IF;
        span := span * 256;
        depth := depth + 1;
    END LOOP;
END
$$;

DROP FUNCTION audit.append(bytea[]);

-- Append entries, all or none, and return the first one's sequence number; the others follow it. The row lock
-- on the head is the sequencer of all replicas. A batch that is here already is not stored again.
CREATE FUNCTION audit.append(batch uuid, entries bytea[]) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    count CONSTANT integer := cardinality(entries);
    first bigint;
    stack bytea[];
    top integer;
    position bigint;
    ends bigint;
    body bytea;
    node bytea;
    known record;
BEGIN
    IF batch IS NULL OR count IS NULL OR count = 0 OR array_position(entries, NULL) IS NOT NULL THEN
        RAISE EXCEPTION 'a batch has an id and entries' USING ERRCODE = 'null_value_not_allowed';
    END IF;
    SELECT size, frontier INTO STRICT first, stack FROM audit.log_head FOR UPDATE;
    SELECT b.first_seq, b.entries INTO known FROM audit.batch AS b WHERE b.batch_id = batch;
    IF FOUND THEN
        IF known.entries <> count THEN
            RAISE EXCEPTION 'batch % has other entries', batch USING ERRCODE = 'unique_violation';
        END IF;
        RETURN known.first_seq;
    END IF;

    top := cardinality(stack);
    position := first;
    FOREACH body IN ARRAY entries LOOP
        node := sha256('\x00'::bytea || body);
        ends := position;
        -- Each one bit at the end of the size is a subtree that this leaf completes.
        WHILE ends & 1 = 1 LOOP
            node := sha256('\x01'::bytea || stack[top] || node);
            top := top - 1;
            ends := ends >> 1;
        END LOOP;
        top := top + 1;
        stack[top] := node;
        position := position + 1;
    END LOOP;
    IF first / audit.partition_entries() < position / audit.partition_entries() THEN
        PERFORM audit.make_partitions(8);  -- however fast the log grows, there is always one more
    END IF;
    UPDATE audit.log_head SET size = position, frontier = stack[1:top];
    INSERT INTO audit.batch (batch_id, first_seq, entries) VALUES (batch, first, count);

    -- `json_to_record` reads each entry once; an operator a column would read it nine times.
    WITH item AS MATERIALIZED (
        SELECT first + given.place - 1 AS seq, given.bytes, doc.*
        FROM
            unnest(entries) WITH ORDINALITY AS given (bytes, place),
            json_to_record(convert_from(given.bytes, 'UTF8')::json) AS doc (
                id uuid, kind text, level text, at timestamptz, actor text, skill text,
                "invocationId" uuid, executor text, "exitCode" integer, "elapsedUs" bigint, code text, call json
            )
    ), tally AS (
        SELECT
            date_trunc('hour', at, 'UTC') AS hour, kind, level, coalesce(executor, '') AS executor,
            coalesce("exitCode"::text, code, call ->> 'outcome', '') AS outcome,
            CASE
                WHEN "elapsedUs" IS NULL THEN -1
                ELSE floor(8 * ln(greatest("elapsedUs", 1)::double precision) / ln(2::double precision))
            END AS bucket,
            count(*) AS number, coalesce(sum("elapsedUs"), 0) AS elapsed_us, min(seq) AS first_seq
        FROM item
        GROUP BY 1, 2, 3, 4, 5, 6
    ), spanned AS (
        INSERT INTO audit.entry_hour (hour, first_seq)
        SELECT hour, min(first_seq) FROM tally GROUP BY 1
        ON CONFLICT (hour) DO NOTHING
    ), hourly AS (
        INSERT INTO audit.invocation_hour AS h (skill_path, hour, invocations, first_seq, last_seq)
        SELECT skill, date_trunc('hour', at, 'UTC'), count(*), min(seq), max(seq)
        FROM item WHERE kind = 'invocation.finished'
        GROUP BY 1, 2
        ON CONFLICT (skill_path, hour) DO UPDATE SET
            invocations = h.invocations + excluded.invocations,
            first_seq = least(h.first_seq, excluded.first_seq),
            last_seq = greatest(h.last_seq, excluded.last_seq)
    ), tallied AS (
        INSERT INTO audit.tally_hour AS t (hour, kind, level, executor, outcome, bucket, entries)
        SELECT hour, kind, level, executor, outcome, bucket, number FROM tally
        ON CONFLICT (hour, kind, level, executor, outcome, bucket) DO UPDATE SET
            entries = t.entries + excluded.entries
    ), totalled AS (
        INSERT INTO audit.tally_total AS t (kind, level, executor, outcome, bucket, entries, elapsed_us)
        SELECT kind, level, executor, outcome, bucket, sum(number), sum(elapsed_us) FROM tally GROUP BY 1, 2, 3, 4, 5
        ON CONFLICT (kind, level, executor, outcome, bucket) DO UPDATE SET
            entries = t.entries + excluded.entries, elapsed_us = t.elapsed_us + excluded.elapsed_us
    )
    INSERT INTO audit.entry (
        seq, entry_id, kind, level, recorded_at, actor, skill_path, invocation_id, exit_code, elapsed_us, entry
    )
    SELECT seq, id, kind, level, at, actor, skill, "invocationId", "exitCode", "elapsedUs", bytes FROM item;
    PERFORM audit.keep_tiles(first, position);
    RETURN first;
END
$$;

-- What a running service does now and then: partitions ahead, and no batch ids that nobody asks for any more.
CREATE FUNCTION audit.maintain() RETURNS void
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM audit.make_partitions(8);
    DELETE FROM audit.batch WHERE stored_at < clock_timestamp() - interval '1 hour';
END
$$;

-- Drop whole partitions of entries before a sequence number; return the first that is left. Tiles stay.
CREATE FUNCTION audit.drop_entries(before bigint) RETURNS bigint
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    width CONSTANT bigint := audit.partition_entries();
    name text;
BEGIN
    -- The last partition stays: the newest tiles are made of its entries.
    SELECT least(before, size / width * width) INTO STRICT before FROM audit.log_head;
    FOR name IN
        SELECT child.relname FROM pg_inherits
        JOIN pg_class AS child ON child.oid = inhrelid
        WHERE inhparent = 'audit.entry'::regclass
            AND (substring(child.relname FROM '^entry_([0-9]+)$')::bigint + 1) * width <= before
        ORDER BY 1
    LOOP
        EXECUTE format('DROP TABLE audit.%I', name);
    END LOOP;
    RETURN (
        SELECT min(substring(child.relname FROM '^entry_([0-9]+)$')::bigint) * width FROM pg_inherits
        JOIN pg_class AS child ON child.oid = inhrelid
        WHERE inhparent = 'audit.entry'::regclass
    );
END
$$;

REVOKE ALL ON ALL FUNCTIONS IN SCHEMA audit FROM PUBLIC;

-- Entries that were stored before there was a tree become its first leaves.
SELECT audit.make_partitions(8 + (SELECT (size / audit.partition_entries())::integer FROM audit.log_head));
DO $$
DECLARE
    batch bytea[];
    stored bigint;
BEGIN
    SELECT size INTO stored FROM audit.log_head;
    IF stored > 64 * audit.partition_entries() THEN
        RAISE EXCEPTION 'a log of % entries is too long to be hashed in one migration', stored;
    END IF;
    ALTER TABLE audit.log_head DISABLE TRIGGER only_grows;
    UPDATE audit.log_head SET size = 0;
    ALTER TABLE audit.log_head ENABLE ALWAYS TRIGGER only_grows;
    FOR batch IN
        SELECT array_agg(entry ORDER BY seq) FROM audit.entry_before_tree GROUP BY seq / 256 ORDER BY seq / 256
    LOOP
        PERFORM audit.append(gen_random_uuid(), batch);
    END LOOP;
END
$$;
DROP TABLE audit.entry_before_tree;

GRANT USAGE ON SCHEMA audit TO cyberos_service;
GRANT SELECT ON ALL TABLES IN SCHEMA audit TO cyberos_service;
GRANT EXECUTE ON FUNCTION audit.append(uuid, bytea[]), audit.maintain() TO cyberos_service;
ALTER DEFAULT PRIVILEGES IN SCHEMA audit GRANT SELECT ON TABLES TO cyberos_service;
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO cyberos_service;
REVOKE INSERT, UPDATE, DELETE ON public.schema_migration FROM cyberos_service;
ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO cyberos_service;
