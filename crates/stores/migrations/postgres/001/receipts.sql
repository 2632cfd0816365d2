-- What providers report, and the turn of the next channel.

-- How far a delivery came (core: DeliveryStatus).
CREATE FUNCTION watchword.progress_1(_status text) RETURNS integer LANGUAGE sql IMMUTABLE AS $$
    SELECT array_position(
        ARRAY['unknown', 'accepted', 'sent', 'failed', 'delivered', 'read'], _status)
$$;

-- What is known of a delivery once a report of it came (core: Delivery::advance).
CREATE FUNCTION watchword.advance_1(_known jsonb, _newer jsonb) RETURNS jsonb LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
    IF _known->>'provider' <> _newer->>'provider' THEN
        RETURN _known;
    END IF;
    IF watchword.progress_1(_newer->>'status') > watchword.progress_1(_known->>'status') THEN
        RETURN (_known - 'error') || jsonb_strip_nulls(jsonb_build_object(
            'status', _newer->'status',
            'at', greatest((_known->>'at')::bigint, (_newer->>'at')::bigint),
            'error', _newer->'error',
            'message_id', _newer->'message_id'));
    END IF;
    IF _known->>'message_id' IS NULL AND _newer->>'message_id' IS NOT NULL THEN
        -- Its receipt was faster than the answer that names it.
        RETURN _known || jsonb_build_object('message_id', _newer->'message_id');
    END IF;
    RETURN _known;
END $$;

CREATE FUNCTION watchword.note_1(
    _now bigint, _asked_at bigint, _tag integer, _id uuid, _deliveries jsonb,
    _dispatched boolean, _sent_at bigint, _next integer, _due bigint,
    _names uuid[], _named uuid[],
    OUT turn integer, OUT v watchword.verification
) LANGUAGE plpgsql VOLATILE SET lock_timeout = '1500ms' AS $$
DECLARE
    moment    bigint;
    due       bigint := _due;
    present   boolean;
    place     integer;
    newer     jsonb;
    before    watchword.verification;
    failed    boolean;
    arrived   boolean;
BEGIN
    PERFORM pg_advisory_xact_lock(1465348707, _tag);
    moment := coalesce(_now, watchword.millis_1());
    SELECT * INTO v FROM watchword.verification k WHERE k.tag = _tag AND k.id = _id;
    IF v.id IS NULL OR moment >= v.expires_at + 300000 THEN
        RETURN;
    END IF;
    IF _now IS NULL AND _due IS NOT NULL THEN
        -- The caller's clock said when it is due; this one says when that is.
        due := moment + CASE WHEN _due > _asked_at THEN _due - _asked_at ELSE 0 END;
    END IF;
    before := v;
    present := NOT _dispatched OR _sent_at = v.sent_at;
    FOR newer IN SELECT * FROM jsonb_array_elements(_deliveries) LOOP
        SELECT d.number - 1 INTO place
            FROM jsonb_array_elements(v.deliveries) WITH ORDINALITY AS d (known, number)
            WHERE d.known->>'id' = newer->>'id';
        IF FOUND THEN
            v.deliveries := jsonb_set(
                v.deliveries, ARRAY[place::text], watchword.advance_1(v.deliveries->place, newer));
        ELSIF jsonb_array_length(v.deliveries) < 64 THEN
            IF present THEN
                v.deliveries := v.deliveries || jsonb_build_array(newer);
            ELSE
                place := least(v.outdated, jsonb_array_length(v.deliveries));
                v.deliveries := jsonb_insert(v.deliveries, ARRAY[place::text], newer);
                v.outdated := v.outdated + 1;
            END IF;
        END IF;
    END LOOP;
    IF _dispatched AND present THEN
        v.fallback_next := _next;
        v.fallback_due := CASE WHEN _next IS NOT NULL THEN due END;
    END IF;
    IF v.fallback_next IS NOT NULL THEN
        -- Of no hand-over at all, neither is true.
        SELECT bool_or(watchword.progress_1(d.known->>'status') >= 5), bool_and(d.known->>'status' = 'failed')
            INTO arrived, failed
            FROM jsonb_array_elements(v.deliveries) WITH ORDINALITY AS d (known, number)
            WHERE d.number > v.outdated;
        IF failed AND v.status = 'pending' AND moment < v.expires_at THEN
            IF _dispatched THEN
                -- A receipt was faster than the end of its dispatch, whose caller waits for an
                -- answer. The turn is due at once, for whoever looks after those.
                v.fallback_due := least(v.fallback_due, moment);
            ELSE
                turn := v.fallback_next;
                v.fallback_next := NULL;
                v.fallback_due := NULL;
            END IF;
        ELSIF arrived THEN
            v.fallback_next := NULL;
            v.fallback_due := NULL;
        END IF;
    END IF;
    IF v IS DISTINCT FROM before THEN
        UPDATE watchword.verification k SET
                deliveries = v.deliveries, outdated = v.outdated,
                fallback_next = v.fallback_next, fallback_due = v.fallback_due
            WHERE k.tag = _tag AND k.id = _id;
    END IF;
    -- Whoever had a name first keeps it, while that is remembered.
    INSERT INTO watchword.message_name AS known
        SELECT n.name, _id, n.delivery, v.expires_at + 300000
            FROM unnest(_names, _named) AS n (name, delivery) ORDER BY n.name
    ON CONFLICT (name) DO UPDATE SET
        verification = excluded.verification, delivery = excluded.delivery, until = excluded.until
        WHERE known.until <= moment;
END $$;

CREATE FUNCTION watchword.locate_1(
    _now bigint, _name uuid, OUT verification uuid, OUT delivery uuid
) RETURNS SETOF record LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    moment bigint := coalesce(_now, watchword.millis_1());
BEGIN
    RETURN QUERY SELECT n.verification, n.delivery FROM watchword.message_name n
        WHERE n.name = _name AND n.until > moment;
END $$;

-- Looks at all tags: for the one who looks after what is due, not for requests.
CREATE FUNCTION watchword.overdue_1(_now bigint, _most bigint)
RETURNS SETOF uuid LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    moment bigint := coalesce(_now, watchword.millis_1());
BEGIN
    RETURN QUERY SELECT v.id FROM watchword.verification v
        WHERE v.fallback_due <= moment AND v.status = 'pending' AND v.expires_at > moment
        ORDER BY v.fallback_due LIMIT _most;
END $$;

CREATE FUNCTION watchword.fall_back_1(
    _now bigint, _tag integer, _id uuid, OUT turn integer, OUT v watchword.verification
) LANGUAGE plpgsql VOLATILE SET lock_timeout = '1500ms' AS $$
DECLARE
    moment bigint;
BEGIN
    PERFORM pg_advisory_xact_lock(1465348707, _tag);
    moment := coalesce(_now, watchword.millis_1());
    SELECT * INTO v FROM watchword.verification k WHERE k.tag = _tag AND k.id = _id;
    IF v.fallback_due <= moment AND v.status = 'pending' AND moment < v.expires_at THEN
        turn := v.fallback_next;
        UPDATE watchword.verification k SET fallback_next = NULL, fallback_due = NULL
            WHERE k.tag = _tag AND k.id = _id
            RETURNING * INTO STRICT v;
    END IF;
END $$;
