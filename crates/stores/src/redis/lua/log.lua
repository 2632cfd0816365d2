-- The exact sliding window. A log is read through `at`, oldest entry first from 1, so that a table
-- and a list of Redis follow the same rule.

local function quotas()
  local all = {}
  for place = 1, number() do
    all[place] = {number(), number()}
  end
  return all
end

-- Where the clock stepped back, a log is read as of its newest entry: it never admits more.
local function as_of(size, at)
  return size > 0 and math.max(now, at(size)) or now
end

-- How long a new entry has to wait until every quota admits it; nil if it may go now.
local function wait(size, at, limits)
  local present, longest = as_of(size, at), nil
  for _, limit in ipairs(limits) do
    local max, window, this = limit[1], limit[2], nil
    if max == 0 then
      this = window
    elseif size >= max then
      -- The entry that has to leave the window first is the max-th from the end.
      local free_at = at(size - max + 1) + window
      if free_at > present then
        this = free_at - now
      end
    end
    if this and (not longest or this > longest) then
      longest = this
    end
  end
  return longest
end
