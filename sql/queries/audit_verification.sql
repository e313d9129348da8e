-- name: audit_extent
-- The log at one moment: what its head says, its first and last entry, and where its partitions begin. More
-- rows than one, or one without a size, if the head is not one row.
SELECT head.size, head.frontier, stored.first_seq, stored.last_seq, kept.first_kept
FROM (SELECT min(seq) AS first_seq, max(seq) AS last_seq FROM audit.entry) AS stored
CROSS JOIN (
    SELECT min((regexp_match(pg_get_expr(child.relpartbound, child.oid), 'FROM \(''?(-?\d+)'))[1]::bigint) AS first_kept
    FROM pg_catalog.pg_inherits JOIN pg_catalog.pg_class AS child ON child.oid = inhrelid
    WHERE inhparent = 'audit.entry'::regclass
) AS kept
LEFT JOIN audit.log_head AS head ON true

-- name: audit_leaves
-- Sequence numbers and bytes, each cut to a length ($3), of the entries from $1 to before $2, in order.
SELECT seq, substr(entry, 1, $3) FROM audit.entry WHERE seq >= $1 AND seq < $2 AND entry IS NOT NULL ORDER BY seq

-- name: audit_stored_tiles
-- The tiles of a level ($1) from index $2 to before $3, in order, as they are stored.
SELECT index, hashes, root FROM audit.tile WHERE level = $1 AND index >= $2 AND index < $3 ORDER BY index

-- name: audit_unexpected_tiles
-- Some $1 tiles that a log of the head's size does not have: beyond its end, or of no level or index.
SELECT tile.level, tile.index
FROM audit.log_head AS head
CROSS JOIN generate_series(0, 6) AS deep
CROSS JOIN LATERAL (
    (SELECT level, index FROM audit.tile WHERE level = deep AND index >= head.size >> (8 * (deep + 1)) LIMIT $1)
    UNION ALL
    (SELECT level, index FROM audit.tile WHERE level = deep AND index < 0 LIMIT $1)
) AS tile
UNION ALL
(SELECT level, index FROM audit.tile WHERE level < 0 LIMIT $1)
UNION ALL
(SELECT level, index FROM audit.tile WHERE level > 6 LIMIT $1)
ORDER BY level, index
LIMIT $1

-- name: audit_one_snapshot
-- Let all that follows in a transaction see the database at one moment.
SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY

-- name: audit_columns
-- The next $3 entries from $1 to before $2 with all that is derived from each; `bucket` as in the tally.
-- PostgreSQL knows times before the year 1 and after 9999, Python does not; here and below they come as its bounds.
SELECT
    seq, entry, entry_id, kind, level, actor, skill_path, invocation_id, exit_code, elapsed_us,
    greatest(least(recorded_at, '9999-12-30Z'), '0001-01-02Z') AS recorded_at,
    CASE WHEN elapsed_us IS NULL THEN -1
        ELSE floor(8 * ln(greatest(elapsed_us, 1)::double precision) / ln(2::double precision))::integer
    END AS bucket
FROM audit.entry
WHERE seq >= $1 AND seq < $2
ORDER BY seq
LIMIT $3

-- name: audit_bucket
-- The bucket of a time ($1) in the tally.
SELECT CASE WHEN $1::bigint IS NULL THEN -1
    ELSE floor(8 * ln(greatest($1, 1)::double precision) / ln(2::double precision))::integer
END

-- name: audit_tally_rows
-- How many entries of each sort each hour has.
SELECT greatest(least(hour, '9999-12-30Z'), '0001-01-02Z') AS hour, kind, level, executor, outcome, bucket, entries
FROM audit.tally_hour

-- name: audit_total_rows
-- All counts of the tally over all hours, and the microseconds that their entries took.
SELECT kind, level, executor, outcome, bucket, entries, elapsed_us FROM audit.tally_total

-- name: audit_hour_rows
-- The first entry of each hour.
SELECT greatest(least(hour, '9999-12-30Z'), '0001-01-02Z') AS hour, first_seq FROM audit.entry_hour

-- name: audit_invocation_rows
-- How many invocations of each skill each hour has, and between which entries.
SELECT skill_path, greatest(least(hour, '9999-12-30Z'), '0001-01-02Z') AS hour, invocations, first_seq, last_seq
FROM audit.invocation_hour

-- name: audit_settled
-- The entry before which every run that was started is noted to have an end.
SELECT settled FROM audit.run_watch

-- name: audit_functions
-- Each function of the log as it is defined.
SELECT
    proname AS name, pg_get_function_arguments(proc.oid) AS arguments, pg_get_function_result(proc.oid) AS result,
    lanname AS language, prosecdef AS definer, provolatile = 'i' AS immutable,
    coalesce(array_to_string(proconfig, '; '), '') AS settings, prosrc AS body
FROM pg_catalog.pg_proc AS proc
JOIN pg_catalog.pg_language AS language ON language.oid = prolang
WHERE pronamespace = 'audit'::regnamespace
ORDER BY 1, 2

-- name: audit_tables
-- Each table and view of the log: its kind, its parent, and whether policies or rules change what it shows or takes.
SELECT
    relation.relname AS name, relation.relkind::text AS kind, relation.relrowsecurity AS policies,
    EXISTS (SELECT FROM pg_catalog.pg_rewrite WHERE ev_class = relation.oid) AS rules,
    parent.relname AS parent, parent.relnamespace = 'audit'::regnamespace AS parent_here,
    relation.relnamespace = 'audit'::regnamespace AS here
FROM pg_catalog.pg_class AS relation
LEFT JOIN pg_catalog.pg_inherits ON inhrelid = relation.oid
LEFT JOIN pg_catalog.pg_class AS parent ON parent.oid = inhparent
WHERE relation.relkind IN ('r', 'p', 'v', 'm', 'f')
    AND (relation.relnamespace = 'audit'::regnamespace OR parent.relnamespace = 'audit'::regnamespace)
ORDER BY 1

-- name: audit_partitions
-- Where each partition of the log begins and ends, in order; none of these where it has no such bounds.
SELECT child.relname AS name, bounds.place[1]::bigint AS start, bounds.place[2]::bigint AS stop
FROM pg_catalog.pg_inherits
JOIN pg_catalog.pg_class AS child ON child.oid = inhrelid
CROSS JOIN LATERAL regexp_match(
    pg_get_expr(child.relpartbound, child.oid), 'FROM \(''?(-?\d+)''?\) TO \(''?(-?\d+)''?\)'
) AS bounds (place)
WHERE inhparent = 'audit.entry'::regclass
ORDER BY 2, 1

-- name: audit_triggers
-- Each trigger of the log's tables; `limited` if it is not for every change of its sort.
SELECT
    relname AS table_name, tgname AS name, tgenabled::text AS enabled, tgtype::integer AS type,
    pronamespace::regnamespace || '.' || proname AS function, tgqual IS NOT NULL OR tgattr::text <> '' AS limited
FROM pg_catalog.pg_trigger
JOIN pg_catalog.pg_class AS relation ON relation.oid = tgrelid
JOIN pg_catalog.pg_proc AS proc ON proc.oid = tgfoid
WHERE relnamespace = 'audit'::regnamespace AND NOT tgisinternal
ORDER BY 1, 2

-- name: audit_privileges
-- What a role ($1) may do to the log beside reading it: one row for each object and right.
SELECT relname AS object, wanted AS privilege
FROM pg_catalog.pg_class CROSS JOIN unnest(ARRAY['DELETE', 'TRUNCATE', 'TRIGGER']) AS wanted
WHERE relnamespace = 'audit'::regnamespace AND relkind IN ('r', 'p', 'v', 'm', 'f')
    AND has_table_privilege($1::name, pg_class.oid, wanted)
UNION ALL
SELECT relname, wanted
FROM pg_catalog.pg_class CROSS JOIN unnest(ARRAY['INSERT', 'UPDATE', 'REFERENCES']) AS wanted
WHERE relnamespace = 'audit'::regnamespace AND relkind IN ('r', 'p', 'v', 'm', 'f')
    AND has_any_column_privilege($1::name, pg_class.oid, wanted)
UNION ALL
SELECT proname, 'EXECUTE' FROM pg_catalog.pg_proc
WHERE pronamespace = 'audit'::regnamespace AND has_function_privilege($1::name, pg_proc.oid, 'EXECUTE')
UNION ALL
SELECT 'audit', 'CREATE' WHERE has_schema_privilege($1::name, 'audit', 'CREATE')
UNION ALL
SELECT DISTINCT owner::regrole::text, 'MEMBER'
FROM (
    SELECT relowner AS owner FROM pg_catalog.pg_class WHERE relnamespace = 'audit'::regnamespace
    UNION SELECT proowner FROM pg_catalog.pg_proc WHERE pronamespace = 'audit'::regnamespace
    UNION SELECT nspowner FROM pg_catalog.pg_namespace WHERE nspname = 'audit'
) AS owners
WHERE pg_has_role($1::name, owner, 'MEMBER')
ORDER BY 1, 2
