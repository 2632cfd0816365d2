-- Sliding windows and the ledger of a recipient, as core/src/limit.rs and core/src/ledger.rs have
-- them. Functions end in the number of their form: a later release that needs another one adds
-- it, so that servers of the release before go on meanwhile.

-- The time, for callers that do not say it.
CREATE FUNCTION watchword.millis_1() RETURNS bigint LANGUAGE sql VOLATILE AS $$
    SELECT floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint
$$;

-- The last moment that there is (core: Timestamp).
CREATE FUNCTION watchword.plus_1(_at bigint, _span bigint) RETURNS bigint LANGUAGE sql IMMUTABLE AS $$
    SELECT least(_at + _span, 253402207200000)
$$;

-- How long until every quota admits another entry; null if it may go now.
CREATE FUNCTION watchword.wait_1(_moments bigint[], _most bigint[], _windows bigint[], _now bigint)
RETURNS bigint LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
    many    integer := cardinality(_moments);
    present bigint  := greatest(_now, _moments[many]);
    free_at bigint;
    longest bigint;
BEGIN
    FOR quota IN 1..cardinality(_most) LOOP
        IF _most[quota] = 0 THEN
            longest := greatest(longest, _windows[quota]);
        ELSIF many >= _most[quota] THEN
            -- The entry that has to leave the window first.
            free_at := least(_moments[many - _most[quota] + 1] + _windows[quota], 253402207200000);
            IF free_at > present THEN
                longest := greatest(longest, free_at - _now, 0);
            END IF;
        END IF;
    END LOOP;
    RETURN longest;
END $$;

-- Without what no window of this length can still hold.
CREATE FUNCTION watchword.recent_1(_moments bigint[], _span bigint, _now bigint)
RETURNS bigint[] LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
    many integer := cardinality(_moments);
    past integer := 0;
BEGIN
    WHILE past < many AND _moments[past + 1] + _span <= _now LOOP
        past := past + 1;
    END LOOP;
    IF past = 0 THEN
        RETURN _moments;
    END IF;
    RETURN _moments[past + 1 : many];
END $$;

-- Without one entry of that moment.
CREATE FUNCTION watchword.without_1(_moments bigint[], _at bigint)
RETURNS bigint[] LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
    many integer := cardinality(_moments);
BEGIN
    FOR place IN REVERSE many..1 LOOP
        IF _moments[place] = _at THEN
            RETURN _moments[1 : place - 1] || _moments[place + 1 : many];
        END IF;
    END LOOP;
    RETURN _moments;
END $$;

-- Which quota leaves least, how many entries it still admits, and how long until it admits more.
CREATE FUNCTION watchword.standing_1(
    _moments bigint[], _most bigint[], _windows bigint[], _now bigint,
    OUT quota integer, OUT remaining bigint, OUT until_more bigint
) LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
    many    integer := cardinality(_moments);
    present bigint  := greatest(_now, _moments[many]);
    inside  integer;
    left_   bigint;
BEGIN
    FOR place IN 1..cardinality(_most) LOOP
        inside := 0;
        WHILE inside < many AND watchword.plus_1(_moments[many - inside], _windows[place]) > present LOOP
            inside := inside + 1;
        END LOOP;
        left_ := greatest(_most[place] - inside, 0);
        IF remaining IS NULL OR left_ < remaining THEN
            quota := place;
            remaining := left_;
            until_more := 0;
            IF inside > 0 THEN
                until_more := greatest(
                    watchword.plus_1(_moments[many - inside + 1], _windows[place]) - _now, 0);
            END IF;
        END IF;
    END LOOP;
END $$;

-- A recipient of whom nothing is known.
CREATE FUNCTION watchword.stranger_1(_tag integer, _recipient uuid)
RETURNS watchword.recipient LANGUAGE sql IMMUTABLE AS $$
    SELECT ROW(_tag, _recipient, '{}', '{}', 0, false, '{}', '{}', '{}', '{}', 0, 0)::watchword.recipient
$$;

-- Keeps what is known of a recipient now.
CREATE FUNCTION watchword.keep_1(_ledger watchword.recipient)
RETURNS void LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    last_failure bigint := _ledger.failures[cardinality(_ledger.failures)];
    idle_from    bigint := _ledger.sends_until;
BEGIN
    FOR slot IN 1..cardinality(_ledger.slot_until) LOOP
        idle_from := greatest(idle_from, _ledger.slot_until[slot]);
    END LOOP;
    -- A day for the windows, 180 for the row.
    idle_from := greatest(idle_from, last_failure
        + CASE WHEN _ledger.failed_in_row > 0 THEN 15552000000 ELSE 86400000 END);
    _ledger.idle_from := CASE WHEN NOT _ledger.locked THEN (idle_from / 3600000 + 1) * 3600000 END;
    -- The sweeper may have removed the row since it was read: it was idle, but now it is not.
    INSERT INTO watchword.recipient AS known VALUES (_ledger.*)
    ON CONFLICT (tag, recipient) DO UPDATE SET
        sends         = excluded.sends,
        failures      = excluded.failures,
        failed_in_row = excluded.failed_in_row,
        locked        = excluded.locked,
        slot_purpose  = excluded.slot_purpose,
        slot_id       = excluded.slot_id,
        slot_sent_at  = excluded.slot_sent_at,
        slot_until    = excluded.slot_until,
        sends_until   = excluded.sends_until,
        idle_from     = excluded.idle_from;
END $$;

-- Whether the failure budget is used up, and for how long; null stands for an operator.
CREATE FUNCTION watchword.barred_1(
    _ledger watchword.recipient, _per_hour bigint, _per_day bigint, _now bigint,
    OUT barred boolean, OUT wait bigint
) LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
    IF NOT _ledger.locked THEN
        wait := watchword.wait_1(
            _ledger.failures, ARRAY[_per_hour, _per_day], ARRAY[3600000, 86400000]::bigint[], _now);
    END IF;
    barred := _ledger.locked OR wait IS NOT NULL;
END $$;

-- Why the recipient may not be sent a code now: the lock, then the cooldown, then the limits.
CREATE FUNCTION watchword.admit_1(
    _ledger watchword.recipient, _purpose text, _cooldown bigint,
    _most bigint[], _windows bigint[], _per_hour bigint, _per_day bigint, _now bigint,
    OUT refusal text, OUT wait bigint
) LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
    barred  boolean := false;
    sent_at bigint;
    free_at bigint;
BEGIN
    IF _per_hour IS NOT NULL THEN
        SELECT b.barred, b.wait INTO barred, wait
            FROM watchword.barred_1(_ledger, _per_hour, _per_day, _now) b;
        IF barred THEN
            refusal := 'locked';
            RETURN;
        END IF;
    END IF;
    sent_at := _ledger.slot_sent_at[array_position(_ledger.slot_purpose, _purpose)];
    free_at := watchword.plus_1(sent_at, _cooldown);
    IF sent_at IS NOT NULL AND free_at > greatest(_now, sent_at) THEN
        refusal := 'cooldown';
        wait := greatest(free_at - _now, 0);
        RETURN;
    END IF;
    wait := watchword.wait_1(_ledger.sends, _most, _windows, _now);
    IF wait IS NOT NULL THEN
        refusal := 'recipient_limit';
    END IF;
END $$;

-- Counts a send and makes the verification the newest of its purpose. The moment that the send
-- counts from is the last of the sends then.
CREATE FUNCTION watchword.count_send_1(
    _ledger watchword.recipient, _purpose text, _id uuid,
    _horizon bigint, _slot_memory bigint, _now bigint
) RETURNS watchword.recipient LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
    at      bigint;
    kept    watchword.recipient := _ledger;
BEGIN
    kept.sends := watchword.recent_1(_ledger.sends, _horizon, _now);
    at := greatest(_now, kept.sends[cardinality(kept.sends)]);
    kept.sends := kept.sends || at;
    kept.sends_until := greatest(_ledger.sends_until, watchword.plus_1(at, _horizon));
    -- Purposes are free text, so their slots must not pile up.
    kept.slot_purpose := ARRAY[_purpose];
    kept.slot_id := ARRAY[_id];
    kept.slot_sent_at := ARRAY[at];
    kept.slot_until := ARRAY[watchword.plus_1(at, _slot_memory)];
    FOR slot IN 1..cardinality(_ledger.slot_purpose) LOOP
        IF _ledger.slot_until[slot] > _now AND _ledger.slot_purpose[slot] <> _purpose THEN
            kept.slot_purpose := array_append(kept.slot_purpose, _ledger.slot_purpose[slot]);
            kept.slot_id := array_append(kept.slot_id, _ledger.slot_id[slot]);
            kept.slot_sent_at := array_append(kept.slot_sent_at, _ledger.slot_sent_at[slot]);
            kept.slot_until := array_append(kept.slot_until, _ledger.slot_until[slot]);
        END IF;
    END LOOP;
    RETURN kept;
END $$;
