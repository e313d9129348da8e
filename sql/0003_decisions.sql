-- What people are asked and decide beside grants: requests for capabilities, trust, limits.

-- A call that lacks a grant leaves a request, once for each capability and content hash. Answered ones stay:
-- a request that was denied is not made again for the same files.
CREATE TABLE capability_request (
    request_id uuid PRIMARY KEY,
    skill_path text NOT NULL,
    capability text NOT NULL,
    content_hash text NOT NULL,
    requested_by text NOT NULL,
    requested_at timestamptz NOT NULL,
    state text NOT NULL CHECK (state IN ('pending', 'approved', 'denied')),
    answered_by text,
    answered_at timestamptz,
    note text,
    UNIQUE (skill_path, capability, content_hash)
);
CREATE INDEX capability_request_pending ON capability_request (requested_at) WHERE state = 'pending';

-- How far a skill is trusted beyond where it was found; for one content hash, since other files are others'.
CREATE TABLE skill_trust (
    skill_path text PRIMARY KEY,
    tier text NOT NULL CHECK (tier IN ('LOCAL', 'VERIFIED', 'UNTRUSTED')),
    content_hash text NOT NULL,
    decided_by text NOT NULL,
    decided_at timestamptz NOT NULL
);

-- What one run may use where it differs from the skill's tier. A column that is null is as the tier has it.
-- What is wider than the tier is for one content hash, as trust is.
CREATE TABLE skill_limits (
    skill_path text PRIMARY KEY,
    time_ms integer CHECK (time_ms > 0),
    memory_bytes bigint CHECK (memory_bytes > 0),
    output_bytes bigint CHECK (output_bytes > 0),
    fuel bigint CHECK (fuel > 0),
    host_calls integer CHECK (host_calls >= 0),
    executors text[],
    content_hash text NOT NULL,
    decided_by text NOT NULL,
    decided_at timestamptz NOT NULL
);
