-- KEYS: one of the sets of due fallbacks. Up to so many entries that are due, from an offset on.
local offset, most = number(), number()
local found = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now, 'WITHSCORES', 'LIMIT', offset, most)
return {now, found}
