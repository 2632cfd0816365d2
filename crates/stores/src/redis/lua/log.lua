-- The exact sliding window. A log is a text of moments, oldest first, of six bytes each. Quotas are
-- packed: how many there are (1 byte), and of each how many entries (4) in how long (6).

-- How long a new entry has to wait until every quota admits it; nil if it may go now. The quotas are
-- in `packed`, from `at` on.
local function wait(log, packed, at)
  local quotas, max, window, longest = string.byte(packed, at), nil, nil, nil
  local size, present = #log / 6, now
  at = at + 1
  if size > 0 then
    -- Where the clock stepped back, a log is read as of its newest entry: it never admits more.
    local newest = parse('>I6', log, #log - 5)
    present = newest > now and newest or now
  end
  for _ = 1, quotas do
    max, window, at = parse('>I4I6', packed, at)
    local this
    if max == 0 then
      this = window
    elseif size >= max then
      -- The entry that has to leave the window first is the max-th from the end.
      local free_at = parse('>I6', log, #log - 6 * max + 1) + window
      this = free_at > present and free_at - now
    end
    if this and (not longest or this > longest) then
      longest = this
    end
  end
  return longest
end

-- The log with another entry and without what no window of this length can still hold; and when
-- the entry counts from: where the clock stepped back, from the one before it on.
local function counted(log, horizon)
  local from, size, at = 1, #log, now
  while from < size and parse('>I6', log, from) + horizon <= now do
    from = from + 6
  end
  if from < size then
    local newest = parse('>I6', log, size - 5)
    at = newest > now and newest or now
  end
  return sub(log, from) .. build('>I6', at), at
end
