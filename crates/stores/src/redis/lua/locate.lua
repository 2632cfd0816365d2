-- KEYS: a message by its provider's name for it.
local packed = redis.call('GET', KEYS[1])
local known = packed and cmsgpack.unpack(packed)
if known and known[3] > now then
  return {known[1], known[2]}
end
return false
