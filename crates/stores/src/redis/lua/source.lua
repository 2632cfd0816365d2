-- KEYS: the log of a source. The log, and until when its key lives by the clock of the server.
local log = redis.call('GET', KEYS[1])
if not log then
  return false
end
local time = redis.call('TIME')
return {log, time[1] * 1000 + math.floor(time[2] / 1000) + redis.call('PTTL', KEYS[1])}
