-- name: snapshot_put
-- Keep the canonical bytes ($2) of a catalogue under their fingerprint ($1), once.
INSERT INTO catalogue_snapshot (fingerprint, encoded) VALUES ($1, $2) ON CONFLICT (fingerprint) DO NOTHING

-- name: snapshot_get
-- The canonical bytes of the catalogue with a fingerprint ($1); no row when it was never kept.
SELECT encoded FROM catalogue_snapshot WHERE fingerprint = $1

-- name: routing_entries
-- Entries of the router by their ids ($1 uuid[]), in no order.
SELECT entry_id, seq, entry FROM audit.entry WHERE kind LIKE 'routing.%' AND entry_id = ANY ($1::uuid[])

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
