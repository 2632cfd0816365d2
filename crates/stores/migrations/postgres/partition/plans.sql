-- Where the tables are in partitions, the functions of the steps keep the plans that they made, which find
-- their partition when they run. A plan for the values at hand looks into one partition only, but
-- is made anew for each statement, which takes longer than the step.
DO $$
DECLARE
    spread boolean := EXISTS (SELECT FROM pg_class
        WHERE oid = 'watchword.verification'::regclass AND relkind = 'p');
    step   regprocedure;
BEGIN
    FOR step IN SELECT p.oid FROM pg_proc p JOIN pg_language l ON l.oid = p.prolang
        WHERE p.pronamespace = 'watchword'::regnamespace AND l.lanname = 'plpgsql'
            -- What they call goes by their settings.
            AND p.proargnames[1] = '_now' AND '_tag' = ANY (p.proargnames)
            AND spread <> ('plan_cache_mode=force_generic_plan' = ANY (coalesce(p.proconfig, '{}')))
    LOOP
        IF spread THEN
            EXECUTE format('ALTER FUNCTION %s SET plan_cache_mode = force_generic_plan', step);
        ELSE
            EXECUTE format('ALTER FUNCTION %s RESET plan_cache_mode', step);
        END IF;
    END LOOP;
END $$;
