-- How sure the router was is counted as entries are appended, as all key figures are: by the confidence of each
-- decision, in hundredths, so at most 101 sorts for each state of one. It stands where a run has its executor.

-- As before (0004), but that a tally's `executor` is the confidence where an entry has one.
CREATE OR REPLACE FUNCTION audit.append(batch uuid, entries bytea[]) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    count CONSTANT integer := cardinality(entries);
    first bigint;
    stack bytea[];
    top integer;
    position bigint;
    ends bigint;
    body bytea;
    node bytea;
    known record;
BEGIN
    IF batch IS NULL OR count IS NULL OR count = 0 OR array_position(entries, NULL) IS NOT NULL THEN
        RAISE EXCEPTION 'a batch has an id and entries' USING ERRCODE = 'null_value_not_allowed';
    END IF;
    SELECT size, frontier INTO STRICT first, stack FROM audit.log_head FOR UPDATE;
    SELECT b.first_seq, b.entries INTO known FROM audit.batch AS b WHERE b.batch_id = batch;
    IF FOUND THEN
        IF known.entries <> count THEN
            RAISE EXCEPTION 'batch % has other entries', batch USING ERRCODE = 'unique_violation';
        END IF;
        RETURN known.first_seq;
    END IF;

    top := cardinality(stack);
    position := first;
    FOREACH body IN ARRAY entries LOOP
        node := sha256('\x00'::bytea || body);
        ends := position;
        -- Each one bit at the end of the size is a subtree that this leaf completes.
        WHILE ends & 1 = 1 LOOP
            node := sha256('\x01'::bytea || stack[top] || node);
            top := top - 1;
            ends := ends >> 1;
        END LOOP;
        top := top + 1;
        stack[top] := node;
        position := position + 1;
    END LOOP;
    IF first / audit.partition_entries() < position / audit.partition_entries() THEN
        PERFORM audit.make_partitions(8);  -- however fast the log grows, there is always one more
    END IF;
    UPDATE audit.log_head SET size = position, frontier = stack[1:top];
    INSERT INTO audit.batch (batch_id, first_seq, entries) VALUES (batch, first, count);

    -- `json_to_record` reads each entry once; an operator a column would read it nine times.
    WITH item AS MATERIALIZED (
        SELECT first + given.place - 1 AS seq, given.bytes, doc.*
        FROM
            unnest(entries) WITH ORDINALITY AS given (bytes, place),
            json_to_record(convert_from(given.bytes, 'UTF8')::json) AS doc (
                id uuid, kind text, level text, at timestamptz, actor text, skill text,
                "invocationId" uuid, executor text, confidence text, "exitCode" integer, "elapsedUs" bigint,
                code text, call json
            )
    ), tally AS (
        SELECT
            date_trunc('hour', at, 'UTC') AS hour, kind, level, coalesce(executor, confidence, '') AS executor,
            coalesce("exitCode"::text, code, call ->> 'outcome', '') AS outcome,
            CASE
                WHEN "elapsedUs" IS NULL THEN -1
                ELSE floor(8 * ln(greatest("elapsedUs", 1)::double precision) / ln(2::double precision))
            END AS bucket,
            count(*) AS number, coalesce(sum("elapsedUs"), 0) AS elapsed_us, min(seq) AS first_seq
        FROM item
        GROUP BY 1, 2, 3, 4, 5, 6
    ), spanned AS (
        INSERT INTO audit.entry_hour (hour, first_seq)
        SELECT hour, min(first_seq) FROM tally GROUP BY 1
        ON CONFLICT (hour) DO NOTHING
    ), hourly AS (
        INSERT INTO audit.invocation_hour AS h (skill_path, hour, invocations, first_seq, last_seq)
        SELECT skill, date_trunc('hour', at, 'UTC'), count(*), min(seq), max(seq)
        FROM item WHERE kind = 'invocation.finished'
        GROUP BY 1, 2
        ON CONFLICT (skill_path, hour) DO UPDATE SET
            invocations = h.invocations + excluded.invocations,
            first_seq = least(h.first_seq, excluded.first_seq),
            last_seq = greatest(h.last_seq, excluded.last_seq)
    ), tallied AS (
        INSERT INTO audit.tally_hour AS t (hour, kind, level, executor, outcome, bucket, entries)
        SELECT hour, kind, level, executor, outcome, bucket, number FROM tally
        ON CONFLICT (hour, kind, level, executor, outcome, bucket) DO UPDATE SET
            entries = t.entries + excluded.entries
    ), totalled AS (
        INSERT INTO audit.tally_total AS t (kind, level, executor, outcome, bucket, entries, elapsed_us)
        SELECT kind, level, executor, outcome, bucket, sum(number), sum(elapsed_us) FROM tally GROUP BY 1, 2, 3, 4, 5
        ON CONFLICT (kind, level, executor, outcome, bucket) DO UPDATE SET
            entries = t.entries + excluded.entries, elapsed_us = t.elapsed_us + excluded.elapsed_us
    )
    INSERT INTO audit.entry (
        seq, entry_id, kind, level, recorded_at, actor, skill_path, invocation_id, exit_code, elapsed_us, entry
    )
    SELECT seq, id, kind, level, at, actor, skill, "invocationId", "exitCode", "elapsedUs", bytes FROM item;
    PERFORM audit.keep_tiles(first, position);
    RETURN first;
END
$$;

-- Decisions that are there already. What was counted of those that were dropped since stays without confidence.
CREATE TEMPORARY TABLE decided ON COMMIT DROP AS
SELECT
    date_trunc('hour', recorded_at, 'UTC') AS hour, kind, level, coalesce(doc.confidence, '') AS confidence,
    coalesce(doc.code, '') AS code, count(*) AS number
FROM audit.entry, json_to_record(convert_from(entry, 'UTF8')::json) AS doc (confidence text, code text)
WHERE kind = 'routing.decision'
GROUP BY 1, 2, 3, 4, 5;
UPDATE audit.tally_hour AS t SET entries = t.entries - d.number
FROM (SELECT hour, level, code, sum(number) AS number FROM decided WHERE confidence <> '' GROUP BY 1, 2, 3) AS d
WHERE t.kind = 'routing.decision' AND t.executor = '' AND t.bucket = -1
    AND (t.hour, t.level, t.outcome) = (d.hour, d.level, d.code);
UPDATE audit.tally_total AS t SET entries = t.entries - d.number
FROM (SELECT level, code, sum(number) AS number FROM decided WHERE confidence <> '' GROUP BY 1, 2) AS d
WHERE t.kind = 'routing.decision' AND t.executor = '' AND t.bucket = -1
    AND (t.level, t.outcome) = (d.level, d.code);
DELETE FROM audit.tally_hour WHERE kind = 'routing.decision' AND entries = 0;
DELETE FROM audit.tally_total WHERE kind = 'routing.decision' AND entries = 0;
INSERT INTO audit.tally_hour (hour, kind, level, executor, outcome, bucket, entries)
SELECT hour, kind, level, confidence, code, -1, number FROM decided WHERE confidence <> '';
INSERT INTO audit.tally_total (kind, level, executor, outcome, bucket, entries, elapsed_us)
SELECT kind, level, confidence, code, -1, sum(number), 0 FROM decided WHERE confidence <> '' GROUP BY 1, 2, 3, 4;
