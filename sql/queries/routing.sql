-- name: snapshot_put
-- Keep the canonical bytes ($2) of a catalogue under their fingerprint ($1), once.
INSERT INTO catalogue_snapshot (fingerprint, encoded) VALUES ($1, $2) ON CONFLICT (fingerprint) DO NOTHING

-- name: snapshot_get
-- The canonical bytes of the catalogue with a fingerprint ($1); no row when it was never kept.
SELECT encoded FROM catalogue_snapshot WHERE fingerprint = $1

-- name: routing_decisions_between
-- The requests of decisions from one ID ($1 uuid) to another ($2 uuid), two at most: enough to know whether there
-- is one alone. By the index of the router's entries, in whose order they are.
SELECT entry_id FROM audit.entry
WHERE kind LIKE 'routing.%' AND kind = 'routing.decision' AND entry_id BETWEEN $1::uuid AND $2::uuid
ORDER BY entry_id LIMIT 2

-- name: routing_entries
-- Entries of the router by their ids ($1 uuid[]), in no order.
SELECT entry_id, kind, seq, entry FROM audit.entry WHERE kind LIKE 'routing.%' AND entry_id = ANY ($1::uuid[])
