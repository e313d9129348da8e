-- One key for each person or program that calls: what the audit log says of inputs and outputs depends on it.
-- Destroying a key destroys that, in every copy of the log, and leaves the log's proofs as they are.
CREATE TABLE subject_key (
    subject text PRIMARY KEY,
    wrapped bytea NOT NULL,
    made_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
