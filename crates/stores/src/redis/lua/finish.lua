-- KEYS: an idempotency key. Nothing comes along that says what time it is, so the answer is kept
-- as long from its claim as the caller asks from now, or until the moment that it names.
local key = KEYS[1]
local answer, till, span = text(), number(), maybe_number()
local packed = redis.call('GET', key)
if not packed then
  return false
end
local entry = cmsgpack.unpack(packed)
if span then
  now = redis.call('TIME')[1] * 1000
  till = now + span
else
  now = entry[4]
end
entry[2], entry[3] = till, answer
redis.call('SET', key, cmsgpack.pack(entry), 'PX', life(till))
return true
