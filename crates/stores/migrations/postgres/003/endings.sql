-- What ends a verification whose dispatch failed, unless another code was sent for it meanwhile: a
-- dispatch may take its time. Who asks says when the code was sent that they speak of.

CREATE FUNCTION watchword.fail_2(_now bigint, _tag integer, _id uuid, _sent_at bigint)
RETURNS void LANGUAGE plpgsql VOLATILE SET lock_timeout = '1500ms' AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(1465348707, _tag);
    PERFORM watchword.fail_1(_now, _tag, _id) FROM watchword.verification v
        WHERE v.tag = _tag AND v.id = _id AND v.sent_at = _sent_at;
END $$;

CREATE FUNCTION watchword.withdraw_2(
    _now bigint, _tag integer, _id uuid, _at bigint, _sent_at bigint,
    _source_tag integer, _source uuid, _source_at bigint, _ends boolean
) RETURNS void LANGUAGE plpgsql VOLATILE SET lock_timeout = '1500ms' AS $$
BEGIN
    -- The source first, as every step that takes both.
    IF _source_at IS NOT NULL THEN
        PERFORM pg_advisory_xact_lock(1465348978, _source_tag);
    END IF;
    PERFORM pg_advisory_xact_lock(1465348707, _tag);
    PERFORM watchword.withdraw_1(
        _now, _tag, _id, _at, _source_tag, _source, _source_at,
        _ends AND EXISTS (
            SELECT FROM watchword.verification v
                WHERE v.tag = _tag AND v.id = _id AND v.sent_at = _sent_at));
END $$;
