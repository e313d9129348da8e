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
-- Withdraw a skill ($1 path, $2 note, $3 who); withdrawing again keeps the first record.
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
