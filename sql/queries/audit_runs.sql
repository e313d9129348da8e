-- name: run_next_unended
-- Look at starts that are older than a time ($1 interval), at most $2: how many of them have an end, and where
-- the first stands that has none.
SELECT ended, unended FROM audit.next_unended($1::interval, $2)

-- name: run_started
-- What an entry ($1) says of the run that it starts; its time within those that a calendar of four digits has.
SELECT
    seq, actor, skill_path, invocation_id, entry,
    least(greatest(recorded_at, '0002-01-01Z'::timestamptz), '9998-12-31Z'::timestamptz) AS started_at
FROM audit.entry WHERE seq = $1

-- name: run_interrupt
-- Append an entry ($2) which says that the run was cut off that another one ($1) starts; null if it has an end.
SELECT audit.interrupt($1, $2)
