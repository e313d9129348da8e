-- name: snapshot_put
-- Keep the canonical bytes ($2) of a catalogue under their fingerprint ($1), once.
INSERT INTO catalogue_snapshot (fingerprint, encoded) VALUES ($1, $2) ON CONFLICT (fingerprint) DO NOTHING

-- name: snapshot_get
-- The canonical bytes of the catalogue with a fingerprint ($1); no row when it was never kept.
SELECT encoded FROM catalogue_snapshot WHERE fingerprint = $1

-- name: routing_entries
-- Entries of the router by their ids ($1 uuid[]), in no order.
SELECT entry_id, kind, seq, entry FROM audit.entry WHERE kind LIKE 'routing.%' AND entry_id = ANY ($1::uuid[])
