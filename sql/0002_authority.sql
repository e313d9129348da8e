-- What skills may do, which of them are withdrawn, and what of their compiled code may be trusted.

-- A grant holds for one content hash. Older ones stay as history: the newest of a skill and capability
-- counts, and one for another hash tells "the skill changed" from "nobody ever granted this".
CREATE TABLE capability_grant (
    skill_path text NOT NULL,
    capability text NOT NULL,
    content_hash text NOT NULL,
    granted_by text NOT NULL,
    granted_at timestamptz NOT NULL,
    PRIMARY KEY (skill_path, capability, content_hash)
);

CREATE TABLE skill_revocation (
    skill_path text PRIMARY KEY,
    note text NOT NULL,
    revoked_by text NOT NULL,
    revoked_at timestamptz NOT NULL
);

-- The digest of each compiled component, so that the file cache of machine code need not be trusted.
CREATE TABLE machine_code (
    key text PRIMARY KEY,
    code_sha256 bytea NOT NULL CHECK (octet_length(code_sha256) = 32),
    created_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

-- A version moves in the transaction of each change, so that other processes see that they are stale.
CREATE TABLE cache_version (
    scope text PRIMARY KEY,
    version bigint NOT NULL
);
INSERT INTO cache_version (scope, version) VALUES ('authority', 0);
