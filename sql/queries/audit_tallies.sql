-- name: tally_totals
-- Entries of each sort since the log began, and the log's size on every row; no row for an empty log.
SELECT kind, level, executor, outcome, bucket, entries, elapsed_us, (SELECT size FROM audit.log_head) AS size
FROM audit.tally_total

-- name: tally_since
-- Entries of each sort since the beginning of the hour of a time ($1). Requests for capabilities that were
-- answered since are a sort, too: the entry of a grant does not tell whether anybody had asked for it.
SELECT kind, level, executor, outcome, bucket, sum(entries)::bigint AS entries
FROM audit.tally_hour
WHERE hour >= date_trunc('hour', $1::timestamptz, 'UTC')
GROUP BY kind, level, executor, outcome, bucket
UNION ALL
SELECT 'capability.answered', 'info', '', state, -1, count(*)
FROM capability_request
WHERE state <> 'pending' AND answered_at >= date_trunc('hour', $1::timestamptz, 'UTC')
GROUP BY state
