-- name: subject_key_get
-- The wrapped key of a subject ($1); no row when it has none, or none any more.
SELECT wrapped FROM subject_key WHERE subject = $1

-- name: subject_key_put
-- Keep a wrapped key ($2) of a subject ($1) unless it has one; its key is what is returned.
WITH made AS (
    INSERT INTO subject_key (subject, wrapped) VALUES ($1, $2)
    ON CONFLICT (subject) DO NOTHING
    RETURNING wrapped
)
SELECT wrapped FROM made
UNION ALL
SELECT wrapped FROM subject_key WHERE subject = $1
LIMIT 1

-- name: subject_key_delete
-- Destroy the key of a subject ($1); no row when it has none.
DELETE FROM subject_key WHERE subject = $1 RETURNING subject
