-- KEYS: a message by its provider's name for it. Whoever had it first keeps it: no provider names
-- two messages alike.
local key = KEYS[1]
local verification, delivery, till = text(), text(), number()
local packed = redis.call('GET', key)
local known = packed and cmsgpack.unpack(packed)
if not known or known[3] <= now then
  redis.call('SET', key, cmsgpack.pack({verification, delivery, till}), 'PX', life(till))
end
return true
