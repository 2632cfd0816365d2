-- KEYS: a message by its provider's name for it. ARGV: verification, delivery, until when it is
-- remembered, how long the key lives.
redis.call('SET', KEYS[1], cmsgpack.pack({ARGV[1], ARGV[2], tonumber(ARGV[3])}), 'PX', ARGV[4])
return true
