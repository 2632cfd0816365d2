-- KEYS: the records of API keys, and their version. Whether there was a working one.
local id = text()
local packed = redis.call('HGET', KEYS[1], id)
local record = packed and cmsgpack.unpack(packed)
if not record or record[7] then
  return 0
end
record[7] = now
redis.call('HSET', KEYS[1], id, cmsgpack.pack(record))
redis.call('INCR', KEYS[2])
return (not record[6] or record[6] > now) and 1 or 0
