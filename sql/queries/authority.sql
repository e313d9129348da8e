-- name: grant_put
-- Record a grant ($1 skill path, $2 capability, $3 content hash, $4 who); granting again refreshes it.
INSERT INTO capability_grant (skill_path, capability, content_hash, granted_by, granted_at)
VALUES ($1, $2, $3, $4, clock_timestamp())
ON CONFLICT (skill_path, capability, content_hash) DO UPDATE
    SET granted_by = excluded.granted_by, granted_at = excluded.granted_at
RETURNING skill_path, capability, content_hash, granted_by, granted_at

-- name: grant_list_newest
-- The newest grant of every skill and capability, by path and capability.
SELECT DISTINCT ON (skill_path, capability)
    skill_path, capability, content_hash, granted_by, granted_at
FROM capability_grant
ORDER BY skill_path, capability, granted_at DESC, content_hash

-- name: revocation_put
-- Revoke a skill ($1 path, $2 note, $3 who); revoking again keeps the first record.
INSERT INTO skill_revocation (skill_path, note, revoked_by, revoked_at)
VALUES ($1, $2, $3, clock_timestamp())
ON CONFLICT (skill_path) DO UPDATE SET skill_path = excluded.skill_path
RETURNING skill_path, note, revoked_by, revoked_at

-- name: revocation_delete
-- Take a revocation back ($1 path); no row when there is none.
DELETE FROM skill_revocation WHERE skill_path = $1 RETURNING skill_path

-- name: revocation_list
-- Every withdrawn skill, by path.
SELECT skill_path, note, revoked_by, revoked_at FROM skill_revocation ORDER BY skill_path

-- name: authority_version_get
-- The version of grants and revocations together; it moves with every change of either.
SELECT version FROM cache_version WHERE scope = 'authority'

-- name: authority_version_bump
-- Move the version on; call it first in the transaction of a change, so that changes form one queue.
UPDATE cache_version SET version = version + 1 WHERE scope = 'authority' RETURNING version

-- name: grant_delete
-- Take a capability ($2) back from a skill ($1 path), whatever its files; no row when it had none.
WITH taken AS (
    DELETE FROM capability_grant WHERE skill_path = $1 AND capability = $2
    RETURNING skill_path, capability, content_hash, granted_by, granted_at
)
SELECT skill_path, capability, content_hash, granted_by, granted_at FROM taken
ORDER BY granted_at DESC LIMIT 1

-- name: request_put
-- Ask for a capability ($1 id, $2 skill path, $3 capability, $4 content hash, $5 who); no row when that was
-- asked before, or when $6 requests of all skills or $7 of this one wait.
INSERT INTO capability_request (
    request_id, skill_path, capability, content_hash, requested_by, requested_at, state
)
SELECT $1, $2, $3, $4, $5, clock_timestamp(), 'pending'
WHERE (SELECT count(*) FROM capability_request WHERE state = 'pending') < $6
    AND (SELECT count(*) FROM capability_request WHERE state = 'pending' AND skill_path = $2) < $7
ON CONFLICT (skill_path, capability, content_hash) DO NOTHING
RETURNING request_id, skill_path, capability, content_hash, requested_by, requested_at, state,
    answered_by, answered_at, note

-- name: request_answer
-- Answer a request ($1 id, $2 state, $3 who, $4 note) that is still pending; no row when it is not.
UPDATE capability_request
SET state = $2, answered_by = $3, answered_at = clock_timestamp(), note = $4
WHERE request_id = $1 AND state = 'pending'
RETURNING request_id, skill_path, capability, content_hash, requested_by, requested_at, state,
    answered_by, answered_at, note

-- name: request_answer_granted
-- Answer the pending requests for a capability ($2) of a skill ($1 path, $3 content hash) that was granted
-- ($4 by whom).
UPDATE capability_request
SET state = 'approved', answered_by = $4, answered_at = clock_timestamp(), note = ''
WHERE skill_path = $1 AND capability = $2 AND content_hash = $3 AND state = 'pending'

-- name: request_find
-- The request for a capability ($2) of a skill ($1 path, $3 content hash), if one was made.
SELECT request_id, skill_path, capability, content_hash, requested_by, requested_at, state,
    answered_by, answered_at, note
FROM capability_request
WHERE skill_path = $1 AND capability = $2 AND content_hash = $3

-- name: request_list
-- The newest requests ($1 how many), the newest first, those that wait before the others.
SELECT request_id, skill_path, capability, content_hash, requested_by, requested_at, state,
    answered_by, answered_at, note
FROM capability_request
ORDER BY state = 'pending' DESC, requested_at DESC, request_id LIMIT $1

-- name: trust_put
-- Trust a skill ($1 path, $2 tier, $3 content hash, $4 who); deciding again replaces it.
INSERT INTO skill_trust (skill_path, tier, content_hash, decided_by, decided_at)
VALUES ($1, $2, $3, $4, clock_timestamp())
ON CONFLICT (skill_path) DO UPDATE
    SET tier = excluded.tier, content_hash = excluded.content_hash,
        decided_by = excluded.decided_by, decided_at = excluded.decided_at
RETURNING skill_path, tier, content_hash, decided_by, decided_at

-- name: trust_list
-- Every decision about trust, by path.
SELECT skill_path, tier, content_hash, decided_by, decided_at FROM skill_trust ORDER BY skill_path

-- name: limits_put
-- Set the limits of a skill ($1 path, then each limit or null, $7 executors or null, $8 content hash, $9 who).
INSERT INTO skill_limits (
    skill_path, time_ms, memory_bytes, output_bytes, fuel, host_calls, executors, content_hash, decided_by,
    decided_at
)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, clock_timestamp())
ON CONFLICT (skill_path) DO UPDATE
    SET time_ms = excluded.time_ms, memory_bytes = excluded.memory_bytes,
        output_bytes = excluded.output_bytes, fuel = excluded.fuel, host_calls = excluded.host_calls,
        executors = excluded.executors, content_hash = excluded.content_hash,
        decided_by = excluded.decided_by, decided_at = excluded.decided_at
RETURNING skill_path, time_ms, memory_bytes, output_bytes, fuel, host_calls, executors, content_hash,
    decided_by, decided_at

-- name: limits_list
-- Every decision about limits, by path.
SELECT skill_path, time_ms, memory_bytes, output_bytes, fuel, host_calls, executors, content_hash,
    decided_by, decided_at
FROM skill_limits ORDER BY skill_path

-- name: bank_put
-- Set the operator's keyword bank ($1 its file, $2 who) in place of the one before.
INSERT INTO keyword_bank (bank, decided_by, decided_at) VALUES ($1, $2, clock_timestamp())
ON CONFLICT (only_row) DO UPDATE
    SET bank = excluded.bank, decided_by = excluded.decided_by, decided_at = excluded.decided_at
RETURNING decided_by

-- name: bank_delete
-- Take the operator's keyword bank away; no row when there is none.
DELETE FROM keyword_bank RETURNING decided_by

-- name: bank_get
-- The operator's keyword bank; no row when there is none.
SELECT bank, decided_by, decided_at FROM keyword_bank

-- name: decisions_grants
-- Every grant that was not taken back, for whatever bytes.
SELECT skill_path, capability, content_hash, granted_by, granted_at FROM capability_grant

-- name: decisions_entries
-- The entries that tell of decisions, in order.
SELECT entry FROM audit.entry WHERE kind NOT LIKE 'invocation.%' AND kind NOT LIKE 'host.%' ORDER BY seq

-- name: decisions_oldest_entry
-- The first entry that the log still has.
SELECT seq, recorded_at FROM audit.entry ORDER BY seq LIMIT 1
