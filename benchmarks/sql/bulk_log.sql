-- name: source_create
-- A narrow table that says what each entry is. The log is made of it, and answers are held to scans of it.
CREATE UNLOGGED TABLE audit.bulk_source (
    seq bigint NOT NULL,
    kind text NOT NULL,
    at timestamptz NOT NULL,
    actor text NOT NULL,
    skill_path text NOT NULL,
    elapsed_us bigint NOT NULL,
    exit_code integer NOT NULL,
    executor text NOT NULL
)

-- name: source_fill
-- Of a log that ends at a time ($1) and has so many entries ($2), those from $3 to before $4, over 30 days, of
-- 1,000 skills and 50 actors. Skills are asked for unevenly: the busiest has 3 % of all runs, the rarest
-- 0.05 %. Times run back by up to 2 s.
INSERT INTO audit.bulk_source (seq, kind, at, actor, skill_path, elapsed_us, exit_code, executor)
SELECT
    seq, kind, at, actor, skill_path, elapsed_us,
    CASE WHEN kind = 'invocation.finished' AND seq % 100 = 0 THEN 1 ELSE 0 END AS exit_code,
    CASE WHEN seq % 10 < 7 THEN 'WASM' ELSE 'SCRIPT' END AS executor
FROM (
    SELECT
        seq,
        CASE
            WHEN seq % 100 < 90 THEN 'invocation.finished' WHEN seq % 100 < 92 THEN 'invocation.started'
            WHEN seq % 100 < 95 THEN 'invocation.refused' WHEN seq % 100 < 99 THEN 'host.call'
            WHEN seq % 200 = 99 THEN 'grant.created' ELSE 'skill.revoked'
        END AS kind,
        $1::timestamptz - make_interval(secs =>
            2592000::double precision * ($2::bigint - seq) / $2 + 2 * ((hashint8(seq + 3) & 1023) / 1023.0)
        ) AS at,
        'actor-' || (hashint8(seq + 1) & 65535) % 50 AS actor,
        'team-' || skill % 20 || '/skill-' || skill AS skill_path,
        (300 * exp(5 * ((hashint8(seq + 2) & 65535) / 65536.0)))::bigint AS elapsed_us
    FROM (
        SELECT seq, floor(1000 * power((hashint8(seq) & 65535) / 65536.0, 2))::integer AS skill
        FROM generate_series($3::bigint, $4::bigint - 1) AS seq
    ) AS numbered
) AS described

-- name: entries_fill
-- The log's entries from $1 to before $2, as `audit.append` derives their columns; their bytes are those of
-- entries, sorted and without white space.
INSERT INTO audit.entry (
    seq, entry_id, kind, level, recorded_at, actor, skill_path, invocation_id, exit_code, elapsed_us, entry
)
SELECT
    seq, entry_id, kind, level, at, actor, skill_path,
    CASE WHEN starts_with(kind, 'invocation.') OR starts_with(kind, 'host.') THEN run_id END,
    CASE WHEN finished THEN exit_code END,
    CASE WHEN finished THEN elapsed_us END,
    convert_to(
        CASE
            WHEN finished THEN
                format(
                    '{"actor":"%s","at":"%s","capabilities":["read_file"],"contentHash":"%s","elapsedUs":%s,'
                    '"endedAt":"%s","error":%s,"executor":"%s","exitCode":%s,"hostCallCount":0,"hostCalls":[],'
                    '"id":"%s","inputCommitment":"%s","invocationId":"%s","keyId":"0123456789abcdef","kind":"%s","level":"%s","limitsHit":[],'
                    '"memoryBytes":1048576,"outputCommitment":"%s","schema":"cyberos.audit/1","sealed":null,"skill":"%s","startedAt":"%s"}',
                    actor, stamp, digest, elapsed_us, stamp,
                    CASE WHEN exit_code = 0 THEN 'null' ELSE '{"code":"EXECUTION_FAILED","message":"no"}' END,
                    executor, exit_code, entry_id, digest, run_id, kind, level, digest, skill_path, stamp
                )
            ELSE
                format(
                    '{"actor":"%s","at":"%s","capability":"read_file","contentHash":"%s","id":"%s","kind":"%s",'
                    '"level":"%s","note":"","schema":"cyberos.audit/1","skill":"%s"}',
                    actor, stamp, digest, entry_id, kind, level, skill_path
                )
        END,
        'UTF8'
    )
FROM (
    SELECT
        *, gen_random_uuid() AS entry_id, gen_random_uuid() AS run_id, to_char(at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS stamp,
        kind = 'invocation.finished' AS finished,
        encode(sha256(int8send(seq)), 'hex') AS digest,
        CASE WHEN exit_code = 0 THEN 'info' ELSE 'warn' END AS level
    FROM audit.bulk_source
    WHERE seq >= $1 AND seq < $2
) AS item

-- name: index_list
-- The indexes of entries but their primary key, with what makes them again on every partition.
SELECT
    indexrelid::regclass::text AS name, replace(pg_get_indexdef(indexrelid), ' ON ONLY ', ' ON ') AS definition
FROM pg_index
WHERE indrelid = 'audit.entry'::regclass AND NOT indisprimary

-- name: invocation_hours_fill
-- How many runs of each skill each hour has, in the order in which they come: rows of an hour lie together.
INSERT INTO audit.invocation_hour (skill_path, hour, invocations, first_seq, last_seq)
SELECT skill_path, date_trunc('hour', at, 'UTC'), count(*), min(seq), max(seq)
FROM audit.bulk_source WHERE kind = 'invocation.finished'
GROUP BY 1, 2 ORDER BY 2, min(seq)

-- name: entry_hours_fill
-- The first entry of each hour.
INSERT INTO audit.entry_hour
SELECT date_trunc('hour', at, 'UTC'), min(seq) FROM audit.bulk_source GROUP BY 1

-- name: tallies_fill
-- How many entries of each sort each hour has.
INSERT INTO audit.tally_hour
    SELECT date_trunc('hour', at, 'UTC'), 
    kind, CASE WHEN exit_code = 0 THEN 'info' ELSE 'warn' END AS level,
    CASE WHEN kind = 'invocation.finished' THEN executor ELSE '' END AS executor,
    CASE kind
        WHEN 'invocation.finished' THEN exit_code::text WHEN 'invocation.refused' THEN 'GRANT_REQUIRED'
        WHEN 'host.call' THEN 'denied' ELSE ''
    END AS outcome,
    CASE WHEN kind = 'invocation.finished'
        THEN floor(8 * ln(elapsed_us::double precision) / ln(2::double precision)) ELSE -1
    END AS bucket
, count(*) FROM audit.bulk_source GROUP BY 1, 2, 3, 4, 5, 6 ORDER BY 1

-- name: totals_fill
-- The same of all hours.
INSERT INTO audit.tally_total
SELECT kind, level, executor, outcome, bucket, sum(entries), 0 FROM audit.tally_hour GROUP BY 1, 2, 3, 4, 5

-- name: head_move
-- The log's size ($1), without the hashes that the tree would have.
UPDATE audit.log_head SET size = $1

-- name: day_counts
-- The runs of each skill at or after a time ($1), by a scan.
SELECT skill_path, count(*) FROM audit.bulk_source WHERE kind = 'invocation.finished' AND at >= $1 GROUP BY 1

-- name: page_by_scan
-- Runs ($1 true: decisions) before a number ($2), of a skill ($3), by an actor ($4), since a time ($5), each
-- null for any, at most $6, by a scan.
SELECT seq FROM audit.bulk_source
WHERE CASE WHEN $1::boolean THEN split_part(kind, '.', 1) NOT IN ('invocation', 'host') ELSE kind = 'invocation.finished' END
    AND ($2::bigint IS NULL OR seq < $2) AND ($3::text IS NULL OR skill_path = $3)
    AND ($4::text IS NULL OR actor = $4) AND ($5::timestamptz IS NULL OR at >= $5)
ORDER BY seq DESC LIMIT $6
