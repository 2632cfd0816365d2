-- Accounts. sealed holds address, number and password hash; key_id is the key that was the newest
-- when the row was written.
CREATE TABLE watchword.account (
    id           uuid    PRIMARY KEY,
    app          text    NOT NULL,
    email_status text    NOT NULL,
    created_at   bigint  NOT NULL,
    key_id       integer NOT NULL,
    sealed       bytea   NOT NULL
);

-- What an account is found by, under each key of the ring: a keyed index of app, kind and
-- canonical form. That no two accounts share one is what makes them unique.
CREATE TABLE watchword.account_identifier (
    kind     text    COLLATE "C" NOT NULL,
    key_id   integer NOT NULL,
    position uuid    NOT NULL,
    account  uuid    NOT NULL REFERENCES watchword.account (id) ON DELETE CASCADE,
    PRIMARY KEY (kind, key_id, position)
);
CREATE INDEX account_identifier_account ON watchword.account_identifier (account);

-- In one order for all, so that accounts that cross do not wait for each other.
CREATE FUNCTION watchword.put_identifiers_1(
    _account uuid, _kinds text[], _key_ids integer[], _positions uuid[]
) RETURNS void LANGUAGE sql VOLATILE AS $$
    INSERT INTO watchword.account_identifier (kind, key_id, position, account)
        SELECT i.kind, i.key_id, i.place, _account
            FROM unnest(_kinds, _key_ids, _positions) AS i (kind, key_id, place)
            ORDER BY i.kind COLLATE "C", i.key_id, i.place
$$;

-- Whether the account was made: not where another has one of its identifiers.
CREATE FUNCTION watchword.create_account_1(
    _id uuid, _app text, _email_status text, _created_at bigint, _key_id integer, _sealed bytea,
    _kinds text[], _key_ids integer[], _positions uuid[]
) RETURNS boolean LANGUAGE plpgsql VOLATILE SET lock_timeout = '1500ms' AS $$
BEGIN
    INSERT INTO watchword.account VALUES (_id, _app, _email_status, _created_at, _key_id, _sealed);
    PERFORM watchword.put_identifiers_1(_id, _kinds, _key_ids, _positions);
    RETURN true;
EXCEPTION WHEN unique_violation THEN
    RETURN false;
END $$;

-- Whether the account was there to be written anew.
CREATE FUNCTION watchword.renew_account_1(
    _id uuid, _email_status text, _key_id integer, _sealed bytea,
    _kinds text[], _key_ids integer[], _positions uuid[]
) RETURNS boolean LANGUAGE plpgsql VOLATILE SET lock_timeout = '1500ms' AS $$
BEGIN
    UPDATE watchword.account SET email_status = _email_status, key_id = _key_id, sealed = _sealed
        WHERE id = _id;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    DELETE FROM watchword.account_identifier WHERE account = _id;
    PERFORM watchword.put_identifiers_1(_id, _kinds, _key_ids, _positions);
    RETURN true;
END $$;

-- Accounts with their identifiers, side by side.
CREATE VIEW watchword.account_1 AS
    SELECT a.id, a.app, a.email_status, a.created_at, a.key_id, a.sealed,
        array_agg(i.kind::text ORDER BY i.kind, i.key_id, i.position) AS kinds,
        array_agg(i.key_id ORDER BY i.kind, i.key_id, i.position) AS key_ids,
        array_agg(i.position ORDER BY i.kind, i.key_id, i.position) AS positions
    FROM watchword.account a JOIN watchword.account_identifier i ON i.account = a.id
    GROUP BY a.id;

CREATE FUNCTION watchword.find_account_1(_kinds text[], _key_ids integer[], _positions uuid[])
RETURNS SETOF watchword.account_1 LANGUAGE plpgsql STABLE AS $$
DECLARE
    owner uuid;
BEGIN
    SELECT i.account INTO owner
        FROM unnest(_kinds, _key_ids, _positions) WITH ORDINALITY AS w (kind, key_id, place, number)
        JOIN watchword.account_identifier i
            ON i.kind = w.kind AND i.key_id = w.key_id AND i.position = w.place
        ORDER BY w.number LIMIT 1;
    RETURN QUERY SELECT * FROM watchword.account_1 a WHERE a.id = owner;
END $$;
