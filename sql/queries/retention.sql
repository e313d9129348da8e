-- name: audit_drop
-- As the owner: drop whole partitions of entries before a number ($1); the first entry that is left. With 0
-- nothing is dropped.
SELECT audit.drop_entries($1::bigint)

-- name: audit_head_lock
-- As the owner, in a transaction that drops: wait for whoever appends, as they would wait for this one.
SELECT size FROM audit.log_head FOR UPDATE

-- name: audit_drop_patience
-- As the owner, in a transaction that drops: whoever reads what is to be dropped (a backup, a report) ends the
-- attempt soon. Until then nobody appends, and so nothing runs.
SELECT set_config('lock_timeout', '1s', true)
