-- KEYS: the records of API keys, and their version. Keys stay until they are revoked, and then for
-- the record; a hundred years, as every key has a time to live.
local FOR_GOOD = 3155760000000
local name, app, scopes, hash = ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local created, expires, revoked = ARGV[6], tonumber(ARGV[7]), tonumber(ARGV[8])
local record = {name, app, scopes, hash, tonumber(created), expires or false, revoked or false}
local added = redis.call('HSETNX', KEYS[1], ARGV[1], cmsgpack.pack(record))
redis.call('INCR', KEYS[2])
redis.call('PEXPIRE', KEYS[1], FOR_GOOD)
redis.call('PEXPIRE', KEYS[2], FOR_GOOD)
return added
