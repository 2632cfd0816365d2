-- The steps of most requests, by the shortest way: a start by somebody of whom nothing is known, for
-- somebody of whom nothing is known; the first report of a hand-over; the right code at the first
-- guess. All else is left to the forms before them, whose rules these are. PostgreSQL makes every
-- expression of a function ready anew in each transaction, which takes longer than what they do.

CREATE FUNCTION watchword.start_2(
    _now bigint, _tag integer, _id uuid, _app text, _recipient uuid, _purpose text, _channel text,
    _key_id integer, _digest bytea, _attempts bigint, _ttl bigint, _details bytea,
    _refuse_live boolean, _cooldown bigint, _most bigint[], _windows bigint[],
    _per_hour bigint, _per_day bigint, _horizon bigint, _slot_memory bigint,
    _source_tag integer, _source uuid, _source_most bigint[], _source_windows bigint[],
    OUT outcome text, OUT wait bigint, OUT made_at bigint, OUT at bigint, OUT source_at bigint,
    OUT standing_quota integer, OUT standing_remaining bigint, OUT standing_until bigint
) LANGUAGE plpgsql VOLATILE SET lock_timeout = '1500ms' AS $$
BEGIN
    -- The source first; nobody waits for one that there is not.
    PERFORM pg_advisory_xact_lock(1465348978, _source_tag), pg_advisory_xact_lock(1465348707, _tag);
    -- Without a past, only a quota that admits nothing refuses.
    IF _per_hour > 0 AND _per_day > 0 AND 0 <> ALL (_most)
        AND cardinality(_source_most) = 1 AND _source_most[1] > 0
        AND NOT EXISTS (SELECT FROM watchword.recipient r WHERE r.tag = _tag AND r.recipient = _recipient)
        AND NOT EXISTS (SELECT FROM watchword.source s WHERE s.tag = _source_tag AND s.source = _source)
    THEN
        made_at := coalesce(_now, watchword.millis_1());
        WITH charged AS (
            INSERT INTO watchword.source VALUES (
                _source_tag, _source, ARRAY[made_at],
                (watchword.plus_1(made_at, _horizon) / 3600000 + 1) * 3600000)
        ), counted AS (
            INSERT INTO watchword.recipient VALUES (
                _tag, _recipient, ARRAY[made_at], '{}', 0, false, ARRAY[_purpose], ARRAY[_id],
                ARRAY[made_at], ARRAY[watchword.plus_1(made_at, _slot_memory)],
                watchword.plus_1(made_at, _horizon),
                (watchword.plus_1(made_at, greatest(_horizon, _slot_memory)) / 3600000 + 1) * 3600000)
        )
        INSERT INTO watchword.verification (
            tag, id, recipient, addressed, app, purpose, channel, status, key_id, digest,
            attempts_left, created_at, sent_at, expires_at, details
        ) VALUES (
            _tag, _id, _recipient, true, _app, _purpose, _channel, 'pending', _key_id,
            _digest, _attempts, made_at, made_at, watchword.plus_1(made_at, _ttl), _details
        );
        outcome := 'sent';
        at := made_at;
        source_at := made_at;
        standing_quota := 1;
        standing_remaining := _source_most[1] - 1;
        standing_until := _source_windows[1];
        RETURN;
    END IF;
    SELECT s.* INTO outcome, wait, made_at, at, source_at, standing_quota, standing_remaining, standing_until
        FROM watchword.start_1(
            _now, _tag, _id, _app, _recipient, _purpose, _channel, _key_id, _digest, _attempts, _ttl,
            _details, _refuse_live, _cooldown, _most, _windows, _per_hour, _per_day, _horizon,
            _slot_memory, _source_tag, _source, _source_most, _source_windows) s;
END $$;

CREATE FUNCTION watchword.check_2(
    _now bigint, _tag integer, _id uuid, _recipient uuid, _purpose text, _app text,
    _key_ids integer[], _macs bytea[], _per_hour bigint, _per_day bigint, _in_row bigint,
    OUT outcome text, OUT wait bigint, OUT attempts_left bigint, OUT locks boolean,
    OUT v watchword.verification
) LANGUAGE plpgsql VOLATILE SET lock_timeout = '1500ms' AS $$
DECLARE
    moment bigint;
    known  uuid := _id;
    other  record;
BEGIN
    PERFORM pg_advisory_xact_lock(1465348707, _tag);
    moment := coalesce(_now, watchword.millis_1());
    IF known IS NULL THEN
        SELECT r.slot_id[array_position(r.slot_purpose, _purpose)] INTO known
            FROM watchword.recipient r WHERE r.tag = _tag AND r.recipient = _recipient;
    END IF;
    -- What the digest binds is that of matches_1.
    UPDATE watchword.verification k SET
            attempts_left = k.attempts_left - 1, status = 'approved', ended_at = moment
        WHERE k.tag = _tag AND k.id = known AND k.app = _app AND k.status = 'pending'
            AND moment < k.expires_at AND k.attempts_left > 0 AND k.key_id = _key_ids[1]
            AND _per_hour > 0 AND _per_day > 0
            AND NOT EXISTS (SELECT FROM watchword.recipient r
                WHERE r.tag = _tag AND r.recipient = k.recipient
                    AND (r.locked OR r.failed_in_row > 0 OR r.failures <> '{}'))
            AND k.digest = sha256(_macs[1] || uuid_send(k.id) || uuid_send(k.recipient)
                || substring(int2send(octet_length(k.channel)::smallint) FROM 2)
                || convert_to(k.channel, 'UTF8')
                || int2send(octet_length(k.purpose)::smallint) || convert_to(k.purpose, 'UTF8'))
        RETURNING * INTO v;
    IF FOUND THEN
        outcome := 'approved';
        attempts_left := v.attempts_left;
        RETURN;
    END IF;
    other := watchword.check_1(
        _now, _tag, _id, _recipient, _purpose, _app, _key_ids, _macs, _per_hour, _per_day, _in_row);
    outcome := other.outcome;
    wait := other.wait;
    attempts_left := other.attempts_left;
    locks := other.locks;
    v := other.v;
END $$;

-- What nobody relies on need not be durable before it is answered: that the first hand-over of a code
-- was taken, or not, with nothing to come after it.
CREATE FUNCTION watchword.note_2(
    _now bigint, _asked_at bigint, _tag integer, _id uuid, _deliveries jsonb,
    _dispatched boolean, _sent_at bigint, _next integer, _due bigint,
    _names uuid[], _named uuid[],
    OUT turn integer, OUT v watchword.verification
) LANGUAGE plpgsql VOLATILE SET lock_timeout = '1500ms' AS $$
DECLARE
    other record;
BEGIN
    PERFORM pg_advisory_xact_lock(1465348707, _tag);
    IF _next IS NULL AND _names = '{}' AND jsonb_array_length(_deliveries) = 1 THEN
        UPDATE watchword.verification k SET deliveries = _deliveries
            WHERE k.tag = _tag AND k.id = _id AND k.deliveries = '[]' AND k.fallback_next IS NULL
                AND coalesce(_now, watchword.millis_1()) < k.expires_at + 300000
                AND (NOT _dispatched OR k.sent_at = _sent_at);
        IF FOUND THEN
            PERFORM set_config('synchronous_commit', 'off', true);
            RETURN;
        END IF;
    END IF;
    other := watchword.note_1(
        _now, _asked_at, _tag, _id, _deliveries, _dispatched, _sent_at, _next, _due, _names, _named);
    turn := other.turn;
    v := other.v;
END $$;
