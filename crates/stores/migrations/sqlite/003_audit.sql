-- The audit log: a chain of pages. written_at is milliseconds since 1970; body is a
-- line of JSON an entry.
CREATE TABLE audit_page (
    number     INTEGER PRIMARY KEY,
    hash       BLOB NOT NULL,
    previous   BLOB NOT NULL,
    written_at INTEGER NOT NULL,
    writer     TEXT NOT NULL,
    entries    INTEGER NOT NULL,
    body       BLOB NOT NULL,
    key_id     BLOB NOT NULL,
    mac        BLOB NOT NULL
) STRICT;

CREATE INDEX audit_page_written_at ON audit_page (written_at);

-- Stands for the pages that were removed because they were old. One row at most.
CREATE TABLE audit_anchor (
    one    INTEGER PRIMARY KEY CHECK (one = 1),
    number INTEGER NOT NULL,
    hash   BLOB NOT NULL,
    key_id BLOB NOT NULL,
    mac    BLOB NOT NULL
) STRICT;
