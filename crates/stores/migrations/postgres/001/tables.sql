-- Everything of Watchword is in this schema. Times are milliseconds since 1970, spans milliseconds.

CREATE TABLE watchword.schema_version (
    version        integer PRIMARY KEY,
    -- A release that knows at least this version may go on with this schema: what it calls is
    -- still there.
    oldest_reader  integer NOT NULL,
    applied_at     timestamptz NOT NULL DEFAULT now()
);

-- key_ids:      the ids of the keys that servers had, newest first
-- index_key_id: the one that recipients are indexed under
-- api_keys:     changes with every change of table api_key
CREATE TABLE watchword.meta (
    name  text PRIMARY KEY,
    value text NOT NULL
);
INSERT INTO watchword.meta (name, value) VALUES ('api_keys', '0');

-- tag: the first 16 bits of the recipient's keyed index and of the handles of its verifications.
-- Every step names it, and the keys begin with it, so that the tables can be spread by it, and
-- everything that a step touches of a recipient is in one place. They are not partitioned here,
-- as that makes every step slower; partition/tables.sql does it for those who want it.
--
-- The fillfactor leaves room for the next version of a row beside it.

-- What is remembered of a recipient beyond any one code (core: RecipientLedger).
CREATE TABLE watchword.recipient (
    tag           integer  NOT NULL,
    recipient     uuid     NOT NULL,
    -- The moments of sends and of failed checks, oldest first.
    sends         bigint[] NOT NULL,
    failures      bigint[] NOT NULL,
    -- Failed checks since the last success, and whether they were too many.
    failed_in_row bigint   NOT NULL,
    locked        boolean  NOT NULL,
    -- The newest verification of each purpose, one in each place of these four.
    slot_purpose  text[]   NOT NULL,
    slot_id       uuid[]   NOT NULL,
    slot_sent_at  bigint[] NOT NULL,
    slot_until    bigint[] NOT NULL,
    -- Until when the newest send may matter.
    sends_until   bigint   NOT NULL,
    -- From when on nothing in here matters, rounded up to an hour, so that it seldom changes and
    -- most updates leave the indexes alone; null while locked.
    idle_from     bigint,
    PRIMARY KEY (tag, recipient)
) WITH (fillfactor = 70);

CREATE TABLE watchword.verification (
    tag           integer  NOT NULL,
    id            uuid     NOT NULL,
    recipient     uuid     NOT NULL,
    addressed     boolean  NOT NULL,
    app           text     COLLATE "C" NOT NULL,
    purpose       text     COLLATE "C" NOT NULL,
    channel       text     COLLATE "C" NOT NULL,
    status        text     COLLATE "C" NOT NULL,
    key_id        integer  NOT NULL,
    digest        bytea    NOT NULL,
    attempts_left bigint   NOT NULL,
    created_at    bigint   NOT NULL,
    sent_at       bigint   NOT NULL,
    expires_at    bigint   NOT NULL,
    ended_at      bigint,
    -- Sealed.
    details       bytea    NOT NULL,
    deliveries    jsonb    NOT NULL DEFAULT '[]',
    -- How many of the deliveries, the oldest ones, carried an earlier code.
    outdated      integer  NOT NULL DEFAULT 0,
    fallback_next integer,
    fallback_due  bigint,
    PRIMARY KEY (tag, id)
) WITH (fillfactor = 70);

-- Sends of those who ask. The tag is the first 16 bits of their own index.
CREATE TABLE watchword.source (
    tag       integer  NOT NULL,
    source    uuid     NOT NULL,
    sends     bigint[] NOT NULL,
    idle_from bigint   NOT NULL,
    PRIMARY KEY (tag, source)
) WITH (fillfactor = 70);

CREATE INDEX recipient_idle_from ON watchword.recipient (idle_from);
CREATE INDEX verification_expires_at ON watchword.verification (expires_at);
CREATE INDEX verification_fallback_due ON watchword.verification (fallback_due)
    WHERE fallback_due IS NOT NULL;
CREATE INDEX source_idle_from ON watchword.source (idle_from);

-- Messages by the keyed form of their providers' names for them.
CREATE TABLE watchword.message_name (
    name         uuid   PRIMARY KEY,
    verification uuid   NOT NULL,
    delivery     uuid   NOT NULL,
    until        bigint NOT NULL
);
CREATE INDEX message_name_until ON watchword.message_name (until);

-- Idempotency keys, and the sealed answers kept under them. Without an answer, the request runs.
CREATE TABLE watchword.replay (
    key         uuid   PRIMARY KEY,
    fingerprint bytea  NOT NULL,
    answer      bytea,
    until       bigint NOT NULL
);
CREATE INDEX replay_until ON watchword.replay (until);

-- hash is SHA-256 of the whole key.
CREATE TABLE watchword.api_key (
    id         text   COLLATE "C" PRIMARY KEY,
    name       text   NOT NULL,
    app        text   NOT NULL,
    scopes     text   NOT NULL,
    hash       bytea  NOT NULL,
    created_at bigint NOT NULL,
    expires_at bigint,
    revoked_at bigint
);

CREATE FUNCTION watchword.api_key_changed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE watchword.meta SET value = (value::bigint + 1)::text WHERE name = 'api_keys';
    RETURN NULL;
END $$;
CREATE TRIGGER api_key_changed AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON watchword.api_key
    FOR EACH STATEMENT EXECUTE FUNCTION watchword.api_key_changed();
