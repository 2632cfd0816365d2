-- Marks the file as Watchword's: "wawd".
PRAGMA application_id = 2002876260;

CREATE TABLE schema_version (
    version    INTEGER PRIMARY KEY,
    applied_at TEXT NOT NULL
) STRICT;

-- record_form:  the form of the bodies in journal and snapshot
-- key_ids:      the ids of the keys that the last server had
-- index_key_id: the one that recipients are indexed under
-- api_keys:     changes with every change of table api_key
CREATE TABLE meta (
    name  TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT;
INSERT INTO meta (name, value) VALUES ('api_keys', '0');

-- One row for each group of changes that became durable together. No gaps. crc is CRC-32 over
-- seq (8 bytes, little-endian) and body.
CREATE TABLE journal (
    seq  INTEGER PRIMARY KEY,
    crc  INTEGER NOT NULL,
    body BLOB NOT NULL
) STRICT;

-- The images of all rows, part by part, each part in one or more chunks of which the last says
-- so. crc is CRC-32 over generation, chunk (8 bytes each, little-endian), last (1 byte) and body.
CREATE TABLE snapshot (
    generation INTEGER NOT NULL,
    chunk      INTEGER NOT NULL,
    last       INTEGER NOT NULL,
    crc        INTEGER NOT NULL,
    body       BLOB NOT NULL,
    PRIMARY KEY (generation, chunk)
) STRICT;

-- The one snapshot that counts: with it, everything in the journal up to base is superfluous.
CREATE TABLE snapshot_head (
    only_row   INTEGER PRIMARY KEY CHECK (only_row = 1),
    generation INTEGER NOT NULL,
    chunks     INTEGER NOT NULL,
    bytes      INTEGER NOT NULL,
    base       INTEGER NOT NULL
) STRICT;

-- hash is SHA-256 of the whole key; times are milliseconds since 1970.
CREATE TABLE api_key (
    id         TEXT PRIMARY KEY,
    name       TEXT NOT NULL,
    app        TEXT NOT NULL,
    scopes     TEXT NOT NULL,
    hash       BLOB NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER,
    revoked_at INTEGER
) STRICT;

CREATE TRIGGER api_key_added AFTER INSERT ON api_key BEGIN
    UPDATE meta SET value = CAST(value AS INTEGER) + 1 WHERE name = 'api_keys';
END;
CREATE TRIGGER api_key_changed AFTER UPDATE ON api_key BEGIN
    UPDATE meta SET value = CAST(value AS INTEGER) + 1 WHERE name = 'api_keys';
END;
CREATE TRIGGER api_key_removed AFTER DELETE ON api_key BEGIN
    UPDATE meta SET value = CAST(value AS INTEGER) + 1 WHERE name = 'api_keys';
END;
