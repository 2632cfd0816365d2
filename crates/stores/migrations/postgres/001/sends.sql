-- The steps that send. The source is locked and asked first, the recipient second: one order for
-- all, so that no two steps wait for each other.
--
-- Locks are advisory ones of the transaction, one for each of 65,536 tags: they cost no write, and
-- are there before a row is. 1465348707 is "WWrc", 1465348978 "WWsr"; other programs in the same
-- database are unlikely to use the same.

CREATE FUNCTION watchword.start_1(
    _now bigint, _tag integer, _id uuid, _app text, _recipient uuid, _purpose text, _channel text,
    _key_id integer, _digest bytea, _attempts bigint, _ttl bigint, _details bytea,
    _refuse_live boolean, _cooldown bigint, _most bigint[], _windows bigint[],
    _per_hour bigint, _per_day bigint, _horizon bigint, _slot_memory bigint,
    _source_tag integer, _source uuid, _source_most bigint[], _source_windows bigint[],
    OUT outcome text, OUT wait bigint, OUT made_at bigint, OUT at bigint, OUT source_at bigint,
    OUT standing_quota integer, OUT standing_remaining bigint, OUT standing_until bigint
) LANGUAGE plpgsql VOLATILE SET lock_timeout = '1500ms' AS $$
DECLARE
    ledger    watchword.recipient;
    asked     bigint[] := '{}';
    old_id    uuid;
    old_end   text;
    old_dies  bigint;
BEGIN
    IF _source IS NOT NULL THEN
        PERFORM pg_advisory_xact_lock(1465348978, _source_tag);
    END IF;
    PERFORM pg_advisory_xact_lock(1465348707, _tag);
    made_at := coalesce(_now, watchword.millis_1());
    IF _source IS NOT NULL THEN
        SELECT s.sends INTO asked FROM watchword.source s
            WHERE s.tag = _source_tag AND s.source = _source;
        asked := coalesce(asked, '{}');
        wait := watchword.wait_1(asked, _source_most, _source_windows, made_at);
        IF wait IS NOT NULL THEN
            outcome := 'source_limit';
            RETURN;
        END IF;
    END IF;
    SELECT * INTO ledger FROM watchword.recipient r WHERE r.tag = _tag AND r.recipient = _recipient;
    IF FOUND THEN
        old_id := ledger.slot_id[array_position(ledger.slot_purpose, _purpose)];
        SELECT v.status, v.expires_at INTO old_end, old_dies FROM watchword.verification v
            WHERE v.tag = _tag AND v.id = old_id;
        IF _refuse_live AND old_end = 'pending' AND made_at < old_dies THEN
            outcome := 'live';
            RETURN;
        END IF;
    ELSE
        ledger := watchword.stranger_1(_tag, _recipient);
    END IF;
    SELECT a.refusal, a.wait INTO outcome, wait FROM watchword.admit_1(
        ledger, _purpose, _cooldown, _most, _windows, _per_hour, _per_day, made_at) a;
    IF outcome IS NOT NULL THEN
        RETURN;
    END IF;
    IF old_end = 'pending' THEN
        -- One whose life is over is said to have expired for good, so that no clock that steps
        -- back revives it beside the new one.
        UPDATE watchword.verification v SET
                status = CASE WHEN made_at < old_dies THEN 'superseded' ELSE 'expired' END,
                ended_at = CASE WHEN made_at < old_dies THEN made_at ELSE v.ended_at END
            WHERE v.tag = _tag AND v.id = old_id;
    END IF;
    at := made_at;
    IF _per_hour IS NOT NULL THEN
        ledger := watchword.count_send_1(ledger, _purpose, _id, _horizon, _slot_memory, made_at);
        at := ledger.sends[cardinality(ledger.sends)];
        PERFORM watchword.keep_1(ledger);
    END IF;
    INSERT INTO watchword.verification (
        tag, id, recipient, addressed, app, purpose, channel, status, key_id, digest,
        attempts_left, created_at, sent_at, expires_at, details
    ) VALUES (
        _tag, _id, _recipient, _per_hour IS NOT NULL, _app, _purpose, _channel, 'pending', _key_id,
        _digest, _attempts, made_at, made_at, watchword.plus_1(made_at, _ttl), _details
    );
    IF _source IS NOT NULL THEN
        asked := watchword.charge_1(_source_tag, _source, asked, _horizon, made_at);
        source_at := asked[cardinality(asked)];
        SELECT s.quota, s.remaining, s.until_more
            INTO standing_quota, standing_remaining, standing_until
            FROM watchword.standing_1(asked, _source_most, _source_windows, made_at) s;
    END IF;
    outcome := 'sent';
END $$;

CREATE FUNCTION watchword.resend_1(
    _now bigint, _tag integer, _id uuid, _app text, _channel text,
    _key_id integer, _digest bytea, _attempts bigint, _ttl bigint, _details bytea,
    _cooldown bigint, _most bigint[], _windows bigint[],
    _per_hour bigint, _per_day bigint, _horizon bigint, _slot_memory bigint,
    _source_tag integer, _source uuid, _source_most bigint[], _source_windows bigint[],
    OUT outcome text, OUT wait bigint, OUT made_at bigint, OUT at bigint, OUT source_at bigint,
    OUT standing_quota integer, OUT standing_remaining bigint, OUT standing_until bigint,
    OUT v watchword.verification
) LANGUAGE plpgsql VOLATILE SET lock_timeout = '1500ms' AS $$
DECLARE
    ledger watchword.recipient;
    asked  bigint[] := '{}';
BEGIN
    IF _source IS NOT NULL THEN
        PERFORM pg_advisory_xact_lock(1465348978, _source_tag);
    END IF;
    PERFORM pg_advisory_xact_lock(1465348707, _tag);
    made_at := coalesce(_now, watchword.millis_1());
    IF _source IS NOT NULL THEN
        SELECT s.sends INTO asked FROM watchword.source s
            WHERE s.tag = _source_tag AND s.source = _source;
        asked := coalesce(asked, '{}');
        wait := watchword.wait_1(asked, _source_most, _source_windows, made_at);
        IF wait IS NOT NULL THEN
            outcome := 'source_limit';
            RETURN;
        END IF;
    END IF;
    SELECT * INTO v FROM watchword.verification k WHERE k.tag = _tag AND k.id = _id;
    outcome := watchword.checkable_1(v, _app, made_at);
    IF outcome IS NOT NULL THEN
        RETURN;
    END IF;
    SELECT * INTO ledger FROM watchword.recipient r
        WHERE r.tag = _tag AND r.recipient = v.recipient;
    IF NOT FOUND THEN
        ledger := watchword.stranger_1(_tag, v.recipient);
    END IF;
    SELECT a.refusal, a.wait INTO outcome, wait FROM watchword.admit_1(
        ledger, v.purpose, _cooldown, _most, _windows, _per_hour, _per_day, made_at) a;
    IF outcome IS NOT NULL THEN
        RETURN;
    END IF;
    at := made_at;
    IF v.addressed THEN
        ledger := watchword.count_send_1(ledger, v.purpose, _id, _horizon, _slot_memory, made_at);
        at := ledger.sends[cardinality(ledger.sends)];
        PERFORM watchword.keep_1(ledger);
    END IF;
    UPDATE watchword.verification k SET
            channel       = _channel,
            key_id        = _key_id,
            digest        = _digest,
            attempts_left = _attempts,
            sent_at       = made_at,
            expires_at    = watchword.plus_1(made_at, _ttl),
            details       = _details,
            outdated      = jsonb_array_length(k.deliveries),
            fallback_next = NULL,
            fallback_due  = NULL
        WHERE k.tag = _tag AND k.id = _id
        RETURNING * INTO STRICT v;
    IF _source IS NOT NULL THEN
        asked := watchword.charge_1(_source_tag, _source, asked, _horizon, made_at);
        source_at := asked[cardinality(asked)];
        SELECT s.quota, s.remaining, s.until_more
            INTO standing_quota, standing_remaining, standing_until
            FROM watchword.standing_1(asked, _source_most, _source_windows, made_at) s;
    END IF;
    outcome := 'sent';
END $$;

-- Charges a source whose lock is held; its sends then, of which the last is this one.
CREATE FUNCTION watchword.charge_1(
    _tag integer, _source uuid, _sends bigint[], _horizon bigint, _now bigint
) RETURNS bigint[] LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    kept bigint[] := watchword.recent_1(_sends, _horizon, _now);
    at   bigint;
BEGIN
    at := greatest(_now, kept[cardinality(kept)]);
    kept := kept || at;
    INSERT INTO watchword.source AS known VALUES
        (_tag, _source, kept, (watchword.plus_1(at, _horizon) / 3600000 + 1) * 3600000)
    ON CONFLICT (tag, source) DO UPDATE SET
        sends = excluded.sends, idle_from = greatest(known.idle_from, excluded.idle_from);
    RETURN kept;
END $$;

-- Why a verification is not to be checked or resent; null if it is live.
CREATE FUNCTION watchword.checkable_1(_v watchword.verification, _app text, _now bigint)
RETURNS text LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE
        WHEN (_v).id IS NULL OR (_v).app <> _app OR _now >= (_v).expires_at + 300000
            THEN 'not_found'
        WHEN (_v).status = 'exhausted' THEN 'exhausted'
        WHEN (_v).status <> 'pending' OR _now >= (_v).expires_at THEN 'not_found'
    END
$$;

-- Gives back a send that no provider could be reached for.
CREATE FUNCTION watchword.withdraw_1(
    _now bigint, _tag integer, _id uuid, _at bigint,
    _source_tag integer, _source uuid, _source_at bigint, _ends boolean
) RETURNS void LANGUAGE plpgsql VOLATILE SET lock_timeout = '1500ms' AS $$
DECLARE
    moment bigint;
    v      watchword.verification;
    ledger watchword.recipient;
    slot   integer;
BEGIN
    IF _source_at IS NOT NULL THEN
        PERFORM pg_advisory_xact_lock(1465348978, _source_tag);
    END IF;
    PERFORM pg_advisory_xact_lock(1465348707, _tag);
    moment := coalesce(_now, watchword.millis_1());
    IF _source_at IS NOT NULL THEN
        UPDATE watchword.source s SET sends = watchword.without_1(s.sends, _source_at)
            WHERE s.tag = _source_tag AND s.source = _source;
    END IF;
    SELECT * INTO v FROM watchword.verification k WHERE k.tag = _tag AND k.id = _id;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    SELECT * INTO ledger FROM watchword.recipient r
        WHERE r.tag = _tag AND r.recipient = v.recipient;
    IF FOUND THEN
        ledger.sends := watchword.without_1(ledger.sends, _at);
        slot := array_position(ledger.slot_purpose, v.purpose);
        IF ledger.slot_id[slot] = _id AND ledger.slot_sent_at[slot] = _at THEN
            ledger.slot_sent_at[slot] := NULL;
        END IF;
        PERFORM watchword.keep_1(ledger);
    END IF;
    IF _ends AND v.status = 'pending' AND moment < v.expires_at THEN
        UPDATE watchword.verification k SET status = 'failed', ended_at = moment
            WHERE k.tag = _tag AND k.id = _id;
    END IF;
END $$;
