-- name: audit_append
-- Append a batch ($1 its id, $2 bytea[] of canonical JSON) in order, all or none; the first sequence number.
-- Sent again with the same id it is stored once.
SELECT audit.append($1::uuid, $2::bytea[])

-- name: audit_maintain
-- Make partitions ahead, and forget old batches.
SELECT audit.maintain()

-- name: audit_size
-- How many entries the log holds.
SELECT size FROM audit.log_head

-- name: audit_head
-- The log's size, the hashes of its complete subtrees (the largest first), and its id.
SELECT size, frontier, log_id FROM audit.log_head

-- name: audit_tile
-- The 256 hashes of a full tile ($1 level, $2 index); no row when it is not full.
SELECT hashes FROM audit.tile WHERE level = $1 AND index = $2

-- name: audit_tile_roots
-- The hashes that stand for full tiles of a level ($1), from index $2 to before $3, in order.
SELECT root FROM audit.tile WHERE level = $1 AND index >= $2 AND index < $3 ORDER BY index

-- name: audit_leaf_hashes
-- The leaf hashes (RFC 9162, section 2.1.1) of the entries from $1 to before $2, in order.
SELECT sha256('\x00'::bytea || entry) FROM audit.entry WHERE seq >= $1 AND seq < $2 ORDER BY seq

-- name: audit_entry
-- The bytes of an entry ($1); no row when it was dropped, or is not there yet.
SELECT entry FROM audit.entry WHERE seq = $1

-- name: audit_entries
-- Sequence numbers and bytes of the entries from $1 to before $2, in order.
SELECT seq, entry FROM audit.entry WHERE seq >= $1 AND seq < $2 ORDER BY seq

-- name: invocations_get
-- The entries that finished invocations ($1 uuid[]) or say that they were cut off, these first.
SELECT invocation_id, seq, entry FROM audit.entry
WHERE invocation_id = ANY ($1::uuid[]) AND kind IN ('invocation.finished', 'invocation.interrupted')
ORDER BY kind DESC, seq

-- name: invocations_since
-- How many invocations of each skill ($1 text[] of paths) finished at or after a time ($2); absent if none.
-- Whole hours are counted already. Of the hour that the time is in, the entries are: all skills in one scan
-- between the first and the last that the hour has, since a scan for each skill costs more than its rows. As
-- a list that is compared with a column a thousand paths would take longer to plan than to count.
WITH edge AS MATERIALIZED (
    SELECT min(first_seq) AS first_seq, max(last_seq) AS last_seq FROM audit.invocation_hour
    WHERE skill_path IN (SELECT unnest($1::text[])) AND hour = date_trunc('hour', $2::timestamptz, 'UTC')
)
SELECT skill_path, sum(counted)::bigint AS invocations
FROM (
    SELECT skill_path, sum(invocations) AS counted FROM audit.invocation_hour
    WHERE skill_path IN (SELECT unnest($1::text[])) AND hour > date_trunc('hour', $2::timestamptz, 'UTC')
    GROUP BY skill_path
    UNION ALL
    SELECT skill_path, count(*) AS counted FROM audit.entry
    WHERE kind = 'invocation.finished' AND skill_path IN (SELECT unnest($1::text[]))
        AND seq >= (SELECT first_seq FROM edge) AND seq <= (SELECT last_seq FROM edge)
        AND recorded_at >= $2::timestamptz
        AND recorded_at < date_trunc('hour', $2::timestamptz, 'UTC') + interval '1 hour'
    GROUP BY skill_path
) AS counts
GROUP BY skill_path
