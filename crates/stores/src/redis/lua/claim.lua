-- KEYS: an idempotency key. An entry is a fingerprint, until when it counts, its answer, and when
-- it was claimed.
local key = KEYS[1]
local fingerprint, till = text(), number() + ahead
local packed = redis.call('GET', key)
local known = packed and cmsgpack.unpack(packed)
if known and known[2] > now then
  if known[1] ~= fingerprint then
    return {'different'}
  end
  return known[3] and {'done', known[3]} or {'running'}
end
redis.call('SET', key, cmsgpack.pack({fingerprint, till, false, now}), 'PX', life(till))
return {'fresh'}
