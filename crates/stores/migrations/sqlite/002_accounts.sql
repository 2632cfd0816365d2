-- sealed holds address, number and password hash; key_id is the key that was the newest when the
-- row was written, in hex; created_at is milliseconds since 1970.
CREATE TABLE account (
    id           BLOB PRIMARY KEY,
    app          TEXT NOT NULL,
    email_status TEXT NOT NULL,
    created_at   INTEGER NOT NULL,
    key_id       TEXT NOT NULL,
    sealed       BLOB NOT NULL
) STRICT;

-- What an account is found by, under each key of the ring: a keyed index of app, kind and
-- canonical form. That no two accounts share one is what makes them unique.
CREATE TABLE account_identifier (
    kind     TEXT NOT NULL,
    key_id   TEXT NOT NULL,
    position BLOB NOT NULL,
    account  BLOB NOT NULL REFERENCES account (id) ON DELETE CASCADE,
    PRIMARY KEY (kind, key_id, position)
) STRICT;

CREATE INDEX account_identifier_of ON account_identifier (account);
