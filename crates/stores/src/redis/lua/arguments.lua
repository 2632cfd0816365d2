-- What a step is called with: the arguments one after the other, first those of the clock.
-- An absent number is the empty text; an absent text is '-', any other one begins with '+'.

local taken = 0

local function text()
  taken = taken + 1
  return ARGV[taken]
end

local function number()
  return tonumber(text())
end

local function maybe_number()
  return tonumber(text()) or false
end

local function maybe_text()
  local given = text()
  return given ~= '-' and string.sub(given, 2)
end

-- The server's time rules where several nodes meet: their clocks differ, and a node whose clock
-- is ahead must not free a limit early. Tests bring a time of their own.
local on_server_time = text() == 'server'
local callers_now = number()
local now = callers_now
if on_server_time then
  local time = redis.call('TIME')
  now = time[1] * 1000 + math.floor(time[2] / 1000)
end
-- By how much moments that the caller computed from its own clock have to be moved.
local ahead = now - callers_now

-- How long a key outlives what it holds, so that a clock that steps back a little finds it. Whether
-- something still counts is never read from a time to live.
local GRACE = 300000

-- What is kept until somebody ends it gets a hundred years, as every key has a time to live.
local FOR_GOOD = 3155760000000

-- The time to live of what counts until a moment.
local function life(till)
  return math.max(till - now, 0) + GRACE
end
