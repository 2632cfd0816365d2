-- KEYS: the log of a source, a list of moments. It may be long, so it is not read as a whole.
local key = KEYS[1]
local limits, horizon = quotas(), number()
local size = redis.call('LLEN', key)
local function at(place)
  return tonumber(redis.call('LINDEX', key, place - 1))
end
local refused = wait(size, at, limits)
if refused then
  return {'source-limit', refused}
end
while size > 0 and at(1) + horizon <= now do
  redis.call('LPOP', key)
  size = size - 1
end
local moment = as_of(size, at)
redis.call('RPUSH', key, moment)
redis.call('PEXPIRE', key, life(moment + horizon))
size = size + 1

-- How the log stands with the tightest of its quotas: which, how many it admits, how long until
-- it admits more.
local tightest, fewest, until_more = false, false, false
for place, limit in ipairs(limits) do
  local max, window = limit[1], limit[2]
  -- The first entry inside the window, by halving.
  local low, high = 1, size
  while low < high do
    local middle = math.floor((low + high) / 2)
    if at(middle) + window > moment then
      high = middle
    else
      low = middle + 1
    end
  end
  local left = math.max(max - (size - low + 1), 0)
  if not fewest or left < fewest then
    tightest, fewest, until_more = place, left, at(low) + window - now
  end
end
return {'charged', now, moment, tightest, fewest, until_more}
