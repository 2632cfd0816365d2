-- KEYS: what is said of a copy into this namespace. Without anything to say, it goes.
local FOR_GOOD = 3155760000000
if ARGV[1] == '' then
  redis.call('DEL', KEYS[1])
else
  redis.call('SET', KEYS[1], ARGV[1], 'PX', FOR_GOOD)
end
return true
