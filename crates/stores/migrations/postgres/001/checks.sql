-- The steps that check, read and end.

-- Whether one of the candidates is the code (core: CodeDigest::matches). What is compared is
-- SHA-256 over a MAC under a pepper that is not here, so how far two agree tells nobody anything.
CREATE FUNCTION watchword.matches_1(_v watchword.verification, _key_ids integer[], _macs bytea[])
RETURNS boolean LANGUAGE plpgsql STABLE AS $$
DECLARE
    channel bytea   := convert_to(_v.channel, 'UTF8');
    purpose bytea   := convert_to(_v.purpose, 'UTF8');
    place   bytea   := uuid_send(_v.id) || uuid_send(_v.recipient)
        || substring(int2send(length(channel)::smallint) FROM 2) || channel
        || int2send(length(purpose)::smallint) || purpose;
    matches boolean := false;
BEGIN
    FOR candidate IN 1..cardinality(_key_ids) LOOP
        IF _key_ids[candidate] = _v.key_id AND sha256(_macs[candidate] || place) = _v.digest THEN
            matches := true;
        END IF;
    END LOOP;
    RETURN matches;
END $$;

-- Spends an attempt and compares, of the verification with this handle or of the newest one of a
-- recipient and purpose.
CREATE FUNCTION watchword.check_1(
    _now bigint, _tag integer, _id uuid, _recipient uuid, _purpose text, _app text,
    _key_ids integer[], _macs bytea[], _per_hour bigint, _per_day bigint, _in_row bigint,
    OUT outcome text, OUT wait bigint, OUT attempts_left bigint, OUT locks boolean,
    OUT v watchword.verification
) LANGUAGE plpgsql VOLATILE SET lock_timeout = '1500ms' AS $$
DECLARE
    moment bigint;
    ledger watchword.recipient;
    known  boolean := false;
    barred boolean;
    ended  text := 'pending';
BEGIN
    PERFORM pg_advisory_xact_lock(1465348707, _tag);
    moment := coalesce(_now, watchword.millis_1());
    IF _id IS NULL THEN
        SELECT * INTO ledger FROM watchword.recipient r
            WHERE r.tag = _tag AND r.recipient = _recipient;
        known := FOUND;
        _id := ledger.slot_id[array_position(ledger.slot_purpose, _purpose)];
    END IF;
    SELECT * INTO v FROM watchword.verification k WHERE k.tag = _tag AND k.id = _id;
    outcome := watchword.checkable_1(v, _app, moment);
    IF outcome IS NOT NULL THEN
        RETURN;
    END IF;
    IF v.addressed THEN
        IF NOT known THEN
            SELECT * INTO ledger FROM watchword.recipient r
                WHERE r.tag = _tag AND r.recipient = v.recipient;
            known := FOUND;
        END IF;
        IF NOT known THEN
            ledger := watchword.stranger_1(_tag, v.recipient);
        END IF;
        SELECT b.barred, b.wait INTO barred, wait
            FROM watchword.barred_1(ledger, _per_hour, _per_day, moment) b;
        IF barred THEN
            outcome := 'locked';
            RETURN;
        END IF;
    END IF;
    IF v.attempts_left = 0 THEN
        outcome := 'exhausted';
        RETURN;
    END IF;
    -- Paid for, whatever comes of it.
    attempts_left := v.attempts_left - 1;
    IF watchword.matches_1(v, _key_ids, _macs) THEN
        outcome := 'approved';
        ended := 'approved';
        IF v.addressed AND ledger.failed_in_row > 0 THEN
            ledger.failed_in_row := 0;
            PERFORM watchword.keep_1(ledger);
        END IF;
    ELSE
        outcome := 'incorrect';
        locks := false;
        IF attempts_left = 0 THEN
            ended := 'exhausted';
        END IF;
        IF v.addressed THEN
            ledger.failures := watchword.recent_1(ledger.failures, 86400000, moment);
            ledger.failures := ledger.failures
                || greatest(moment, ledger.failures[cardinality(ledger.failures)]);
            ledger.failed_in_row := ledger.failed_in_row + 1;
            locks := ledger.failed_in_row >= _in_row;
            ledger.locked := ledger.locked OR locks;
            PERFORM watchword.keep_1(ledger);
        END IF;
    END IF;
    UPDATE watchword.verification k SET
            attempts_left = check_1.attempts_left,
            status = ended,
            ended_at = CASE WHEN ended = 'pending' THEN k.ended_at ELSE moment END
        WHERE k.tag = _tag AND k.id = _id
        RETURNING * INTO STRICT v;
END $$;

CREATE FUNCTION watchword.get_1(_now bigint, _tag integer, _id uuid, _app text)
RETURNS SETOF watchword.verification LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    moment bigint := coalesce(_now, watchword.millis_1());
BEGIN
    RETURN QUERY SELECT * FROM watchword.verification v
        WHERE v.tag = _tag AND v.id = _id AND v.app = _app AND moment < v.expires_at + 300000;
END $$;

CREATE FUNCTION watchword.newest_1(
    _now bigint, _tag integer, _recipient uuid, _purpose text, _app text
) RETURNS SETOF watchword.verification LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    newest uuid;
BEGIN
    SELECT r.slot_id[array_position(r.slot_purpose, _purpose)] INTO newest
        FROM watchword.recipient r WHERE r.tag = _tag AND r.recipient = _recipient;
    RETURN QUERY SELECT * FROM watchword.get_1(_now, _tag, newest, _app);
END $$;

CREATE FUNCTION watchword.cancel_1(
    _now bigint, _tag integer, _id uuid, _app text,
    OUT outcome text, OUT v watchword.verification
) LANGUAGE plpgsql VOLATILE SET lock_timeout = '1500ms' AS $$
DECLARE
    moment bigint;
BEGIN
    PERFORM pg_advisory_xact_lock(1465348707, _tag);
    moment := coalesce(_now, watchword.millis_1());
    SELECT * INTO v FROM watchword.verification k WHERE k.tag = _tag AND k.id = _id;
    outcome := 'not_found';
    IF v.id IS NULL OR v.app <> _app OR moment >= v.expires_at + 300000 THEN
        RETURN;
    END IF;
    IF v.status = 'pending' THEN
        IF moment >= v.expires_at THEN
            RETURN;
        END IF;
        UPDATE watchword.verification k SET status = 'canceled', ended_at = moment
            WHERE k.tag = _tag AND k.id = _id
            RETURNING * INTO STRICT v;
    END IF;
    IF v.status NOT IN ('expired', 'superseded') THEN
        outcome := v.status;
    END IF;
END $$;

CREATE FUNCTION watchword.fail_1(_now bigint, _tag integer, _id uuid)
RETURNS void LANGUAGE plpgsql VOLATILE SET lock_timeout = '1500ms' AS $$
DECLARE
    moment bigint;
BEGIN
    PERFORM pg_advisory_xact_lock(1465348707, _tag);
    moment := coalesce(_now, watchword.millis_1());
    UPDATE watchword.verification v SET status = 'failed', ended_at = moment
        WHERE v.tag = _tag AND v.id = _id AND v.status = 'pending' AND moment < v.expires_at;
END $$;

CREATE FUNCTION watchword.unlock_1(_now bigint, _tag integer, _recipient uuid)
RETURNS boolean LANGUAGE plpgsql VOLATILE SET lock_timeout = '1500ms' AS $$
DECLARE
    moment bigint;
    ledger watchword.recipient;
    held   boolean;
BEGIN
    PERFORM pg_advisory_xact_lock(1465348707, _tag);
    moment := coalesce(_now, watchword.millis_1());
    SELECT * INTO ledger FROM watchword.recipient r
        WHERE r.tag = _tag AND r.recipient = _recipient;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    held := ledger.locked OR ledger.failed_in_row > 0
        OR coalesce(ledger.failures[cardinality(ledger.failures)] + 86400000 > moment, false);
    ledger.failures := '{}';
    ledger.failed_in_row := 0;
    ledger.locked := false;
    PERFORM watchword.keep_1(ledger);
    RETURN held;
END $$;
