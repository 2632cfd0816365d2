-- When it is. The first argument of a step is packed; it begins with whose time rules (1 the
-- server's, 0 the caller's) and the caller's time.
--
-- The server's time rules where several nodes meet: their clocks differ, and a node whose clock
-- is ahead must not free a limit early. Tests bring a time of their own.
--
-- Each function that a script defines over locals around it, each table that it answers with and
-- each argument costs the server as much as a look at a key. So what several steps need is a piece
-- of text that stands in each of them rather than a function, and arguments and answers are packed.
local parse, build, sub, call = struct.unpack, struct.pack, string.sub, redis.call
local servers, now, ahead = parse('>BI6', ARGV[1])
-- By how much moments that the caller computed from its own clock have to be moved.
ahead = 0
if servers == 1 then
  local time = call('TIME')
  local micros = tonumber(time[2])
  ahead = time[1] * 1000 + (micros - micros % 1000) / 1000 - now
  now = now + ahead
end

-- How long a key outlives what it holds, so that a clock that steps back a little finds it. Whether
-- something still counts is never read from a time to live.
local GRACE = 300000
