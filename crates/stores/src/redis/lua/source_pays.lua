-- Charges the source, for as long as `span`.
local present
charges, present = counted(charges, span)
call('SET', source, charges, 'PX', present - now + span + GRACE)

-- How the log stands with the tightest of its quotas: which, how many it admits, how long until
-- it admits more.
local entries, tightest, fewest, until_more = #charges / 6, 0, nil, 0
local max, window, next_quota = nil, nil, 2
for quota = 1, string.byte(source_quotas) do
  max, window, next_quota = parse('>I4I6', source_quotas, next_quota)
  -- The first entry inside the window, by halving.
  local low, high = 1, entries
  while low < high do
    local middle = math.floor((low + high) / 2)
    if parse('>I6', charges, 6 * middle - 5) + window > present then
      high = middle
    else
      low = middle + 1
    end
  end
  local left = math.max(max - (entries - low + 1), 0)
  if not fewest or left < fewest then
    tightest, fewest = quota, left
    until_more = parse('>I6', charges, 6 * low - 5) + window - now
  end
end
local paid = build('>I6BI4I6', present, tightest, fewest or 0, until_more)
