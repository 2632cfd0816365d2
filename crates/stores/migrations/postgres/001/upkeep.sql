-- Idempotency keys, and what removes the past.

-- Takes a key for a request, or says what became of it before. It is free again after _span.
CREATE FUNCTION watchword.claim_1(
    _now bigint, _span bigint, _key uuid, _fingerprint bytea,
    OUT outcome text, OUT answer bytea
) LANGUAGE plpgsql VOLATILE SET lock_timeout = '1500ms' AS $$
DECLARE
    moment bigint := coalesce(_now, watchword.millis_1());
    known  watchword.replay;
BEGIN
    -- Takes the lock of the row in any case.
    INSERT INTO watchword.replay AS r VALUES (_key, _fingerprint, NULL, moment + _span)
    ON CONFLICT (key) DO UPDATE SET
        fingerprint = excluded.fingerprint, answer = NULL, until = excluded.until
        WHERE r.until <= moment;
    IF FOUND THEN
        outcome := 'fresh';
        RETURN;
    END IF;
    SELECT * INTO STRICT known FROM watchword.replay r WHERE r.key = _key;
    IF known.fingerprint <> _fingerprint THEN
        outcome := 'different';
    ELSIF known.answer IS NULL THEN
        outcome := 'running';
    ELSE
        outcome := 'done';
        answer := known.answer;
    END IF;
END $$;

CREATE FUNCTION watchword.finish_1(_now bigint, _span bigint, _key uuid, _answer bytea)
RETURNS void LANGUAGE sql VOLATILE AS $$
    UPDATE watchword.replay
        SET answer = _answer, until = coalesce(_now, watchword.millis_1()) + _span
        WHERE key = _key
$$;

CREATE FUNCTION watchword.abandon_1(_key uuid) RETURNS void LANGUAGE sql VOLATILE AS $$
    DELETE FROM watchword.replay WHERE key = _key
$$;

-- Removes up to so many rows of each kind that no longer matter, so that each call is short; of each
-- partition, where somebody has partitioned a table. Rows that somebody works on are left to the
-- next round. Two servers that sweep at once share the work.
CREATE FUNCTION watchword.sweep_1(_now bigint, _most bigint)
RETURNS bigint LANGUAGE plpgsql VOLATILE SET lock_timeout = '1500ms' AS $$
DECLARE
    moment bigint := coalesce(_now, watchword.millis_1());
    gone    bigint := 0;
    removed bigint;
    past   record;
BEGIN
    FOR past IN SELECT coalesce(leaf.relid, p.relation) AS relation, p.bound, p.edge FROM (VALUES
        ('watchword.verification'::regclass, 'expires_at', moment - 300000),
        ('watchword.recipient', 'idle_from', moment),
        ('watchword.source', 'idle_from', moment),
        ('watchword.message_name', 'until', moment),
        ('watchword.replay', 'until', moment)
    ) AS p (relation, bound, edge)
        LEFT JOIN LATERAL pg_partition_tree(p.relation) AS leaf ON leaf.isleaf
    LOOP
        EXECUTE format(
            'DELETE FROM %1$s WHERE ctid = ANY (ARRAY(
                SELECT ctid FROM %1$s WHERE %2$I <= $1 LIMIT $2 FOR UPDATE SKIP LOCKED))',
            past.relation, past.bound) USING past.edge, _most;
        GET DIAGNOSTICS removed = ROW_COUNT;
        gone := gone + removed;
    END LOOP;
    RETURN gone;
END $$;
