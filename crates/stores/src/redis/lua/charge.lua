-- KEYS: the log of a source.
-- ARGV: clock · how long sends are remembered (6 bytes) · quotas.
local log, horizon = call('GET', KEYS[1]) or '', parse('>I6', ARGV[1], 8)
local refused = wait(log, 14)
if refused then
  return build('>c13I6', 'source-limit ', refused)
end
local present
log, present = counted(log, horizon)
call('SET', KEYS[1], log, 'PX', present - now + horizon + GRACE)

-- How the log stands with the tightest of its quotas: which, how many it admits, how long until
-- it admits more.
local size, tightest, fewest, until_more = #log / 6, 0, nil, 0
local max, window, at = nil, nil, 15
for quota = 1, string.byte(ARGV[1], 14) do
  max, window, at = parse('>I4I6', ARGV[1], at)
  -- The first entry inside the window, by halving.
  local low, high = 1, size
  while low < high do
    local middle = math.floor((low + high) / 2)
    if parse('>I6', log, 6 * middle - 5) + window > present then
      high = middle
    else
      low = middle + 1
    end
  end
  local left = math.max(max - (size - low + 1), 0)
  if not fewest or left < fewest then
    tightest, fewest, until_more = quota, left, parse('>I6', log, 6 * low - 5) + window - now
  end
end
return build('>c8I6BI4I6', 'charged ', present, tightest, fewest or 0, until_more)
