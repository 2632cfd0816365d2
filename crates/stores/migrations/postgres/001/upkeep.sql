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

-- Removes up to so many rows of one kind that no longer matter: of one partition, so that each
-- call is short. Rows that somebody works on are left to the next round. Two servers that sweep
-- at once share the work.
CREATE FUNCTION watchword.sweep_1(_now bigint, _part integer, _most bigint)
RETURNS bigint LANGUAGE plpgsql VOLATILE SET lock_timeout = '1500ms' AS $$
DECLARE
    moment bigint := coalesce(_now, watchword.millis_1());
    gone    bigint := 0;
    removed bigint;
    past   record;
BEGIN
    FOR past IN SELECT * FROM (VALUES
        ('verification_' || _part, 'expires_at', moment - 300000),
        ('recipient_' || _part, 'idle_from', moment),
        ('source_' || _part, 'idle_from', moment),
        ('message_name', 'until', moment),
        ('replay', 'until', moment)
    ) AS p (relation, bound, edge) LOOP
        EXECUTE format(
            'DELETE FROM watchword.%1$I WHERE ctid = ANY (ARRAY(
                SELECT ctid FROM watchword.%1$I WHERE %2$I <= $1 LIMIT $2 FOR UPDATE SKIP LOCKED))',
            past.relation, past.bound) USING past.edge, _most;
        GET DIAGNOSTICS removed = ROW_COUNT;
        gone := gone + removed;
    END LOOP;
    RETURN gone;
END $$;
