-- KEYS: one of the sets of due fallbacks. Moves an entry to where its row says, or drops it; unless
-- somebody has moved it meanwhile.
local id, seen, due = text(), maybe_number(), maybe_number()
if seen and tonumber(redis.call('ZSCORE', KEYS[1], id) or -1) ~= seen then
  return false
end
if due then
  redis.call('ZADD', KEYS[1], due, id)
  redis.call('PEXPIRE', KEYS[1], 86400000)
else
  redis.call('ZREM', KEYS[1], id)
end
return true
