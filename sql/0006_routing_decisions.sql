-- What decisions about queries rest on, and how they are found.

-- The catalogue as it was routed in, once for each fingerprint: with the query it makes a decision again. It
-- is no part of the log, and is held to its fingerprint instead.
CREATE TABLE catalogue_snapshot (
    fingerprint text PRIMARY KEY CHECK (fingerprint = encode(sha256(encoded), 'hex')),
    encoded bytea NOT NULL,
    stored_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
REVOKE UPDATE, DELETE, TRUNCATE ON catalogue_snapshot FROM cyberos_service;

CREATE INDEX entry_routed ON audit.entry (entry_id) WHERE kind LIKE 'routing.%';
CREATE INDEX entry_routing_decision ON audit.entry (seq) WHERE kind = 'routing.decision';
CREATE INDEX entry_routing_decision_by_actor ON audit.entry (actor, seq) WHERE kind = 'routing.decision';
