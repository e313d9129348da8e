-- By what words skills are found beside the keywords of this service: what an operator adds.

-- At most one row, a whole file in place of the one before. It is checked before it is set, and read again by
-- each version of the service.
CREATE TABLE keyword_bank (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    bank text NOT NULL,
    decided_by text NOT NULL,
    decided_at timestamptz NOT NULL
);
