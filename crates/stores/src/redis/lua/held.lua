-- KEYS: a message by its provider's name, or an idempotency key. All that is kept under it.
local packed = redis.call('GET', KEYS[1])
return packed and cmsgpack.unpack(packed)
