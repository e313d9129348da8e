-- name: invocation_page
-- The newest invocations that finished or were cut off, before a sequence number ($1), not before a time ($2; null
-- for any), at most $3. What is of
-- an hour or a later one stands nowhere before the first entries of those hours.
-- That bound is of a row, not of a number: for two bounds of one column, of which one is not known yet, the
-- planner guesses a two-hundredth of the rows, and sorts them.
SELECT seq, entry, CASE WHEN kind = 'invocation.interrupted' THEN invocation_id END AS cut_off FROM audit.entry
WHERE kind IN ('invocation.finished', 'invocation.interrupted')
    AND seq < $1::bigint AND ($2::timestamptz IS NULL OR recorded_at >= $2)
    AND (seq, 0) >= ROW (CASE WHEN $2 IS NULL THEN 0 ELSE (
        SELECT min(first_seq) FROM audit.entry_hour WHERE hour >= date_trunc('hour', $2, 'UTC')
    ) END, 0)
ORDER BY seq DESC LIMIT $3

-- name: runs_ended_late
-- Of entries that say that runs were cut off ($1 their numbers), those whose run has an end after all.
SELECT seq FROM audit.entry
WHERE seq = ANY ($1::bigint[]) AND EXISTS (
    SELECT FROM audit.entry AS later WHERE later.invocation_id = entry.invocation_id AND later.seq > entry.seq
        AND later.kind IN ('invocation.finished', 'invocation.refused')
)

-- name: invocation_page_of_skill
-- As invocation_page, of one skill ($4 its path).
SELECT seq, entry, CASE WHEN kind = 'invocation.interrupted' THEN invocation_id END AS cut_off FROM audit.entry
WHERE kind IN ('invocation.finished', 'invocation.interrupted') AND skill_path = $4::text
    AND seq < $1::bigint AND ($2::timestamptz IS NULL OR recorded_at >= $2)
    AND (seq, 0) >= ROW (CASE WHEN $2 IS NULL THEN 0 ELSE (
        SELECT min(first_seq) FROM audit.entry_hour WHERE hour >= date_trunc('hour', $2, 'UTC')
    ) END, 0)
ORDER BY seq DESC LIMIT $3

-- name: invocation_page_of_actor
-- As invocation_page, of those that somebody asked for ($4).
SELECT seq, entry, CASE WHEN kind = 'invocation.interrupted' THEN invocation_id END AS cut_off FROM audit.entry
WHERE kind IN ('invocation.finished', 'invocation.interrupted') AND actor = $4::text
    AND seq < $1::bigint AND ($2::timestamptz IS NULL OR recorded_at >= $2)
    AND (seq, 0) >= ROW (CASE WHEN $2 IS NULL THEN 0 ELSE (
        SELECT min(first_seq) FROM audit.entry_hour WHERE hour >= date_trunc('hour', $2, 'UTC')
    ) END, 0)
ORDER BY seq DESC LIMIT $3

-- name: invocation_page_of_both
-- As invocation_page, of one skill ($4 its path) and one who asked ($5).
SELECT seq, entry, CASE WHEN kind = 'invocation.interrupted' THEN invocation_id END AS cut_off FROM audit.entry
WHERE kind IN ('invocation.finished', 'invocation.interrupted') AND skill_path = $4::text AND actor = $5::text
    AND seq < $1::bigint AND ($2::timestamptz IS NULL OR recorded_at >= $2)
    AND (seq, 0) >= ROW (CASE WHEN $2 IS NULL THEN 0 ELSE (
        SELECT min(first_seq) FROM audit.entry_hour WHERE hour >= date_trunc('hour', $2, 'UTC')
    ) END, 0)
ORDER BY seq DESC LIMIT $3

-- name: decision_page
-- As invocation_page, of the entries that tell of decisions.
SELECT seq, entry FROM audit.entry
WHERE kind NOT LIKE 'invocation.%' AND kind NOT LIKE 'host.%'
    AND seq < $1::bigint AND ($2::timestamptz IS NULL OR recorded_at >= $2)
    AND (seq, 0) >= ROW (CASE WHEN $2 IS NULL THEN 0 ELSE (
        SELECT min(first_seq) FROM audit.entry_hour WHERE hour >= date_trunc('hour', $2, 'UTC')
    ) END, 0)
ORDER BY seq DESC LIMIT $3

-- name: decision_page_of_actor
-- As decision_page, of what one person decided ($4).
SELECT seq, entry FROM audit.entry
WHERE kind NOT LIKE 'invocation.%' AND kind NOT LIKE 'host.%' AND actor = $4::text
    AND seq < $1::bigint AND ($2::timestamptz IS NULL OR recorded_at >= $2)
    AND (seq, 0) >= ROW (CASE WHEN $2 IS NULL THEN 0 ELSE (
        SELECT min(first_seq) FROM audit.entry_hour WHERE hour >= date_trunc('hour', $2, 'UTC')
    ) END, 0)
ORDER BY seq DESC LIMIT $3

-- name: routing_page
-- As invocation_page, of the decisions about queries.
SELECT seq, entry FROM audit.entry
WHERE kind = 'routing.decision'
    AND seq < $1::bigint AND ($2::timestamptz IS NULL OR recorded_at >= $2)
    AND (seq, 0) >= ROW (CASE WHEN $2 IS NULL THEN 0 ELSE (
        SELECT min(first_seq) FROM audit.entry_hour WHERE hour >= date_trunc('hour', $2, 'UTC')
    ) END, 0)
ORDER BY seq DESC LIMIT $3

-- name: routing_page_of_actor
-- As routing_page, of those that one caller asked for ($4).
SELECT seq, entry FROM audit.entry
WHERE kind = 'routing.decision' AND actor = $4::text
    AND seq < $1::bigint AND ($2::timestamptz IS NULL OR recorded_at >= $2)
    AND (seq, 0) >= ROW (CASE WHEN $2 IS NULL THEN 0 ELSE (
        SELECT min(first_seq) FROM audit.entry_hour WHERE hour >= date_trunc('hour', $2, 'UTC')
    ) END, 0)
ORDER BY seq DESC LIMIT $3

-- name: decisions_at
-- Decisions from a time ($1) to before another ($2) whose ids begin with some digits ($3), in order, at most $4.
SELECT seq, entry FROM audit.entry
WHERE kind NOT LIKE 'invocation.%' AND kind NOT LIKE 'host.%'
    AND recorded_at >= $1 AND recorded_at < $2 AND starts_with(entry_id::text, $3)
ORDER BY recorded_at, seq LIMIT $4

-- name: grants_revoked
-- The newest entries of capabilities that were taken back, not before a time ($1; null for any), at most $2.
SELECT seq, entry FROM audit.entry
WHERE kind = 'grant.revoked' AND kind NOT LIKE 'invocation.%' AND kind NOT LIKE 'host.%'
    AND ($1::timestamptz IS NULL OR recorded_at >= $1)
ORDER BY seq DESC LIMIT $2
