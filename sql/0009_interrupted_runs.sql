-- Runs that were cut off: an entry says that they start, and none says how they ended, since the service was
-- killed meanwhile. They are found without reading the log again, and closed once, by whichever replica is first.

-- How long the log was, and when it was, by the clock of the database: clocks of replicas, which the entries have
-- their times from, decide nothing. What stands before a size was there at that time.
CREATE TABLE audit.log_mark (
    size bigint PRIMARY KEY,
    reached_at timestamptz NOT NULL
);
INSERT INTO audit.log_mark (size, reached_at) SELECT size, clock_timestamp() FROM audit.log_head;

-- Every run that was started before this entry has an end in the log. It only grows, so each start is looked at
-- about once, however long the log is.
CREATE TABLE audit.run_watch (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    settled bigint NOT NULL
);
INSERT INTO audit.run_watch (settled) VALUES (0);

CREATE INDEX entry_started ON audit.entry (seq) WHERE kind = 'invocation.started' AND invocation_id IS NOT NULL;

-- Runs that were cut off stand in the pages of runs, so the indexes of these hold them, too (0004 has the others).
DROP INDEX audit.entry_finished, audit.entry_finished_by_skill, audit.entry_finished_by_actor;
CREATE INDEX entry_ended ON audit.entry (seq)
    WHERE kind IN ('invocation.finished', 'invocation.interrupted');
CREATE INDEX entry_ended_by_skill ON audit.entry (skill_path, seq)
    WHERE kind IN ('invocation.finished', 'invocation.interrupted');
CREATE INDEX entry_ended_by_actor ON audit.entry (actor, seq)
    WHERE kind IN ('invocation.finished', 'invocation.interrupted');

-- As before (0004), and how long the log has become is noted, before the batches that tell are forgotten.
CREATE OR REPLACE FUNCTION audit.maintain() RETURNS void
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM audit.make_partitions(8);
    INSERT INTO audit.log_mark (size, reached_at)
    SELECT first_seq + entries, stored_at FROM audit.batch
    WHERE stored_at > coalesce(
        (SELECT max(reached_at) FROM audit.log_mark WHERE reached_at <= clock_timestamp()), '-infinity')
    ORDER BY stored_at DESC LIMIT 1
    ON CONFLICT (size) DO NOTHING;
    DELETE FROM audit.log_mark
    WHERE size < (SELECT max(size) FROM audit.log_mark WHERE reached_at < clock_timestamp() - interval '1 hour');
    DELETE FROM audit.batch WHERE stored_at < clock_timestamp() - interval '1 hour';
END
$$;

-- Look at runs that were started longer ago than any may take, on from where the last call stopped, and at so
-- many at most. Tells how many of them have an end, and where the first one stands that has none: it stops there.
-- One caller at a time; another one is told that there is nothing to do.
CREATE FUNCTION audit.next_unended(longest interval, at_most integer) RETURNS TABLE (ended integer, unended bigint)
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    before bigint;
    start bigint;
    stop bigint;
    run record;
BEGIN
    ended := 0;
    SELECT settled INTO start FROM audit.run_watch FOR UPDATE SKIP LOCKED;
    before := start;
    SELECT max(size) INTO stop FROM audit.log_mark WHERE reached_at <= clock_timestamp() - longest;
    IF start < stop THEN
        FOR run IN
            SELECT seq, invocation_id FROM audit.entry
            WHERE kind = 'invocation.started' AND invocation_id IS NOT NULL AND seq >= start AND seq < stop
            ORDER BY seq LIMIT at_most
        LOOP
            -- An end comes after its start, so partitions from before are not looked into.
            IF NOT EXISTS (
                SELECT FROM audit.entry AS later
                WHERE later.invocation_id = run.invocation_id AND later.seq > run.seq
                    AND later.kind IN ('invocation.finished', 'invocation.refused', 'invocation.interrupted')
            ) THEN
                unended := run.seq;
                EXIT;
            END IF;
            ended := ended + 1;
            start := run.seq + 1;
        END LOOP;
        IF unended IS NOT NULL THEN
            start := unended;
        ELSIF ended < at_most THEN
            start := stop;
        END IF;
        IF start > before THEN
            UPDATE audit.run_watch SET settled = start;
        END IF;
    END IF;
    RETURN NEXT;
END
$$;

-- Append an entry that says that the run which an entry started was cut off, unless it has an end by now; return
-- its sequence number, null if it has one. Nobody appends while the head is locked, and what was appended before
-- is seen: so there is never a second one, nor one after the run's end.
CREATE FUNCTION audit.interrupt(started bigint, body bytea) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    run uuid;
BEGIN
    PERFORM 1 FROM audit.log_head FOR UPDATE;
    SELECT invocation_id INTO run FROM audit.entry WHERE seq = started AND kind = 'invocation.started';
    IF run IS NULL OR EXISTS (
        SELECT FROM audit.entry
        WHERE invocation_id = run AND seq > started
            AND kind IN ('invocation.finished', 'invocation.refused', 'invocation.interrupted')
    ) THEN
        RETURN NULL;
    END IF;
    RETURN audit.append(gen_random_uuid(), ARRAY[body]);
END
$$;

REVOKE ALL ON FUNCTION audit.next_unended(interval, integer), audit.interrupt(bigint, bytea) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION audit.next_unended(interval, integer), audit.interrupt(bigint, bytea) TO cyberos_service;

-- Readers know no times before the year 1 or after 9999; what stands in the log by now, stands there.
ALTER TABLE audit.entry ADD CONSTRAINT entry_recorded_within_the_calendar
    CHECK (recorded_at > '0001-01-02Z' AND recorded_at < '9999-12-30Z') NOT VALID;
