-- The audit log: a chain of pages; body is a line of JSON an entry.
CREATE TABLE watchword.audit_page (
    number     bigint  PRIMARY KEY,
    hash       bytea   NOT NULL,
    previous   bytea   NOT NULL,
    written_at bigint  NOT NULL,
    writer     text    NOT NULL,
    entries    bigint  NOT NULL,
    body       bytea   NOT NULL,
    key_id     integer NOT NULL,
    mac        bytea   NOT NULL
);
CREATE INDEX audit_page_written_at ON watchword.audit_page (written_at);

-- Stands for the pages that were removed because they were old. One row at most.
CREATE TABLE watchword.audit_anchor (
    one    boolean PRIMARY KEY DEFAULT true CHECK (one),
    number bigint  NOT NULL,
    hash   bytea   NOT NULL,
    key_id integer NOT NULL,
    mac    bytea   NOT NULL
);

-- Whether the page came behind the newest one. Of two nodes that append at once, one is told no.
CREATE FUNCTION watchword.append_audit_page_1(
    _number bigint, _hash bytea, _previous bytea, _written_at bigint, _writer text,
    _entries bigint, _body bytea, _key_id integer, _mac bytea
) RETURNS boolean LANGUAGE plpgsql VOLATILE SET lock_timeout = '1500ms' AS $$
BEGIN
    IF _number <> 1 + coalesce((SELECT max(p.number) FROM watchword.audit_page p),
        (SELECT a.number FROM watchword.audit_anchor a), 0) THEN
        RETURN false;
    END IF;
    INSERT INTO watchword.audit_page
        VALUES (_number, _hash, _previous, _written_at, _writer, _entries, _body, _key_id, _mac);
    RETURN true;
EXCEPTION WHEN unique_violation THEN
    RETURN false;
END $$;

CREATE FUNCTION watchword.remove_audit_pages_1(
    _number bigint, _hash bytea, _key_id integer, _mac bytea
) RETURNS void LANGUAGE plpgsql VOLATILE SET lock_timeout = '1500ms' AS $$
BEGIN
    INSERT INTO watchword.audit_anchor (number, hash, key_id, mac)
        VALUES (_number, _hash, _key_id, _mac)
        ON CONFLICT (one) DO UPDATE SET number = excluded.number, hash = excluded.hash,
            key_id = excluded.key_id, mac = excluded.mac
        WHERE excluded.number > audit_anchor.number;
    IF FOUND THEN
        DELETE FROM watchword.audit_page WHERE number <= _number;
    END IF;
END $$;
