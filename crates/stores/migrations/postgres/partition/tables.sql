-- Moves the rows of the tables that are spread by their tag into as many partitions each as the
-- setting watchword.partitions says, by hash of the tag; 1 makes a table one piece. Whoever runs
-- it holds the tables.
--
-- Functions take and return rows of these tables, and so are made anew, as they were.
DO $$
DECLARE
    many        integer := current_setting('watchword.partitions')::integer;
    name        text;
    old         regclass;
    options     text;
    grants      aclitem[];
    owner       regrole;
    keys        text[];
    indexes     text[];
    pieces      text[];
    statement   text;
    granted     record;
    -- Of each function.
    signatures  text[];
    definitions text[];
    owners      regrole[];
    rights      text[];
    of_rows     boolean[];
BEGIN
    -- So that everything is named in full.
    SET LOCAL search_path = pg_catalog;
    SET LOCAL check_function_bodies = off;
    SELECT array_agg(p.oid::regprocedure::text ORDER BY p.oid),
            array_agg(pg_get_functiondef(p.oid) ORDER BY p.oid),
            array_agg(p.proowner::regrole ORDER BY p.oid),
            array_agg(p.proacl::text ORDER BY p.oid),
            array_agg(EXISTS (SELECT FROM pg_depend d JOIN pg_type t ON t.oid = d.refobjid
                LEFT JOIN pg_type e ON e.oid = t.typelem
                WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid
                    AND d.refclassid = 'pg_type'::regclass
                    AND coalesce(nullif(e.typrelid, 0), t.typrelid) IN (
                        'watchword.recipient'::regclass, 'watchword.verification'::regclass,
                        'watchword.source'::regclass)) ORDER BY p.oid)
        INTO STRICT signatures, definitions, owners, rights, of_rows
        FROM pg_proc p WHERE p.pronamespace = 'watchword'::regnamespace AND p.prokind IN ('f', 'p');
    FOR place IN 1..cardinality(signatures) LOOP
        IF of_rows[place] THEN
            EXECUTE format('DROP ROUTINE %s', signatures[place]);
        END IF;
    END LOOP;
    FOREACH name IN ARRAY ARRAY['recipient', 'verification', 'source'] LOOP
        old := format('watchword.%I', name)::regclass;
        SELECT c.relacl, c.relowner::regrole INTO STRICT grants, owner FROM pg_class c WHERE c.oid = old;
        SELECT string_agg(format('%I = %L', o.option_name, o.option_value), ', ') INTO options
            FROM pg_class c, pg_options_to_table(c.reloptions) o
            WHERE c.oid = coalesce((SELECT min(i.inhrelid) FROM pg_inherits i WHERE i.inhparent = old), old);
        options := coalesce(format(' WITH (%s)', options), '');
        SELECT array_agg(format('ADD CONSTRAINT %I %s', c.conname, pg_get_constraintdef(c.oid))) INTO keys
            FROM pg_constraint c WHERE c.conrelid = old AND c.contype IN ('p', 'u');
        SELECT array_agg(replace(pg_get_indexdef(i.indexrelid), ' ON ONLY ', ' ON ')) INTO indexes
            FROM pg_index i WHERE i.indrelid = old
                AND NOT EXISTS (SELECT FROM pg_constraint c WHERE c.conindid = i.indexrelid);
        EXECUTE format('CREATE TABLE watchword.%I (LIKE %s INCLUDING ALL EXCLUDING INDEXES)%s',
            'moved_' || name, old, CASE WHEN many = 1 THEN options ELSE ' PARTITION BY HASH (tag)' END);
        pieces := ARRAY[name];
        IF many > 1 THEN
            FOR piece IN 0..many - 1 LOOP
                EXECUTE format('CREATE TABLE watchword.%I PARTITION OF watchword.%I
                    FOR VALUES WITH (MODULUS %s, REMAINDER %s)%s',
                    format('moved_%s_%s', name, piece), 'moved_' || name, many, piece, options);
                pieces := pieces || format('%s_%s', name, piece);
            END LOOP;
        END IF;
        EXECUTE format('INSERT INTO watchword.%I SELECT * FROM %s', 'moved_' || name, old);
        EXECUTE format('DROP TABLE %s', old);
        FOREACH statement IN ARRAY pieces LOOP
            EXECUTE format('ALTER TABLE watchword.%I RENAME TO %I', 'moved_' || statement, statement);
        END LOOP;
        FOREACH statement IN ARRAY keys LOOP
            EXECUTE format('ALTER TABLE watchword.%I %s', name, statement);
        END LOOP;
        FOREACH statement IN ARRAY coalesce(indexes, '{}') LOOP
            EXECUTE statement;
        END LOOP;
        -- Sweeping goes to the partitions themselves.
        FOREACH statement IN ARRAY pieces LOOP
            FOR granted IN SELECT nullif(a.grantee, 0)::regrole AS grantee, a.privilege_type AS what,
                    a.is_grantable
                FROM aclexplode(grants) a WHERE a.grantee <> owner
            LOOP
                EXECUTE format('GRANT %s ON watchword.%I TO %s%s', granted.what, statement,
                    coalesce(granted.grantee::text, 'PUBLIC'),
                    CASE WHEN granted.is_grantable THEN ' WITH GRANT OPTION' ELSE '' END);
            END LOOP;
            IF owner <> current_user::regrole THEN
                EXECUTE format('ALTER TABLE watchword.%I OWNER TO %s', statement, owner);
            END IF;
        END LOOP;
        EXECUTE format('ANALYZE watchword.%I', name);
    END LOOP;
    -- Those that only speak of the tables, too: sessions of a pooler may have them compiled.
    FOR place IN 1..cardinality(signatures) LOOP
        EXECUTE definitions[place];
        CONTINUE WHEN NOT of_rows[place];
        IF rights[place] IS NOT NULL THEN
            EXECUTE format('REVOKE ALL ON ROUTINE %s FROM PUBLIC', signatures[place]);
            FOR granted IN SELECT nullif(a.grantee, 0)::regrole AS grantee, a.is_grantable
                FROM aclexplode(rights[place]::aclitem[]) a WHERE a.grantee <> owners[place]
            LOOP
                EXECUTE format('GRANT EXECUTE ON ROUTINE %s TO %s%s', signatures[place],
                    coalesce(granted.grantee::text, 'PUBLIC'),
                    CASE WHEN granted.is_grantable THEN ' WITH GRANT OPTION' ELSE '' END);
            END LOOP;
        END IF;
        IF owners[place] <> current_user::regrole THEN
            EXECUTE format('ALTER ROUTINE %s OWNER TO %s', signatures[place], owners[place]);
        END IF;
    END LOOP;
END $$;
