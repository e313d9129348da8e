-- name: audit_append
-- Append entries ($1 bytea[], canonical JSON) in order, all or none; their sequence numbers.
SELECT seq FROM audit.append($1::bytea[]) AS appended (seq)

-- name: audit_present
-- Which entry ids ($1 uuid[]) are in the log, with their sequence numbers.
SELECT entry_id, seq FROM audit.entry WHERE entry_id = ANY ($1::uuid[])

-- name: audit_size
-- How many entries the log holds.
SELECT size FROM audit.log_head

-- name: invocations_get
-- The bytes of the entries that finished invocations ($1 uuid[]), in no order.
SELECT invocation_id, entry FROM audit.entry
WHERE invocation_id = ANY ($1::uuid[]) AND kind = 'invocation.finished'

-- name: invocations_since
-- How many invocations of each skill ($1 text[] of paths) finished at or after a time ($2); absent if none.
SELECT skill_path, count(*) AS invocations
FROM audit.entry
WHERE kind = 'invocation.finished' AND skill_path = ANY ($1::text[]) AND recorded_at >= $2
GROUP BY skill_path
