-- KEYS: the records of API keys, and their version, which every change raises. Reads them all,
-- unless the caller has this version already.
local version = redis.call('GET', KEYS[2]) or '0'
if version == ARGV[1] then
  return {version}
end
local all = redis.call('HGETALL', KEYS[1])
local records = {}
for place = 1, #all, 2 do
  local record = cmsgpack.unpack(all[place + 1])
  table.insert(record, 1, all[place])
  records[#records + 1] = record
end
return {version, records}
