-- KEYS: an idempotency key. ARGV: fingerprint, until when it counts, how long the key lives, and the
-- answer if there is one. When it was claimed is not known any more.
local till = tonumber(ARGV[2])
redis.call('SET', KEYS[1], cmsgpack.pack({ARGV[1], till, ARGV[4] or false, till}), 'PX', ARGV[3])
return true
