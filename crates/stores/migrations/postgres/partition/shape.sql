-- Of each table: how many rows it has, in how many partitions (none where it is one piece), by what,
-- and whether it has something that moving its rows to another table would lose.
WITH spread AS (
    SELECT c.oid, c.relname::text AS name, c.relrowsecurity FROM pg_class c
        WHERE c.oid IN ('watchword.recipient'::regclass, 'watchword.verification'::regclass,
            'watchword.source'::regclass)
), pieces AS (
    SELECT s.oid AS whole, s.oid AS piece FROM spread s
    UNION ALL SELECT i.inhparent, i.inhrelid FROM pg_inherits i JOIN spread s ON s.oid = i.inhparent
)
SELECT s.name,
    (SELECT count(*) FROM pieces p WHERE p.whole = s.oid AND p.piece <> s.oid) AS partitions,
    pg_get_partkeydef(s.oid) AS key,
    s.relrowsecurity OR EXISTS (SELECT FROM pieces p WHERE p.whole = s.oid AND (
        EXISTS (SELECT FROM pg_trigger t WHERE t.tgrelid = p.piece)
        OR EXISTS (SELECT FROM pg_policy y WHERE y.polrelid = p.piece)
        OR EXISTS (SELECT FROM pg_rewrite r WHERE r.ev_class = p.piece)
        OR EXISTS (SELECT FROM pg_publication_rel r WHERE r.prrelid = p.piece)
        OR EXISTS (SELECT FROM pg_statistic_ext e WHERE e.stxrelid = p.piece)
        OR EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = p.piece AND a.attacl IS NOT NULL)
        OR EXISTS (SELECT FROM pg_class c WHERE c.oid = p.piece AND p.piece <> p.whole
            AND c.relkind <> 'r')
    )) AS added
FROM spread s ORDER BY s.name
