-- KEYS: one of the sets of due fallbacks. Adds an entry, or moves it. The set outlives its last
-- entry by more than any code lives.
redis.call('ZADD', KEYS[1], number() + ahead, text())
redis.call('PEXPIRE', KEYS[1], 86400000)
return true
