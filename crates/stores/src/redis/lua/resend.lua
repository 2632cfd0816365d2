-- KEYS: the place.
-- ARGV: clock · id (12 bytes) · whether a quota admits nothing (1) · attempts (4) · life (6) ·
-- cooldown (6) · how long sends are remembered (6) · how long this one is the newest of its
-- purpose (6) · the budget of failures · the limits; channel, key, digest and details, as the body of
-- a row has them; what the node says of the code (20); the app.
if not known then
  return 'gone '
end
if row[STATUS] ~= PENDING or now >= row[EXPIRES] then
  return row[STATUS] == EXHAUSTED and 'exhausted ' or 'gone '
end
local barred, attempts, ttl, cooldown, span, memory, budget = parse('>BI4I6I6I6I6', ARGV[1], rest)
local purpose = parse('>Hc0', place, row[BODY])
local size, recipient, horizon = parse('>I3c12I6', place, record)
local sends = sub(place, record + RECORD_SIZE, record + before_rows - 1)
local failures = row[KIND] ~= NOBODYS
  and call('GET', sub(key, 1, -4) .. 'f' .. sub(key, -2) .. recipient)
local newest, old_at = nil, record + before_rows
while old_at < record + size do
  newest = {parse(HEAD, place, old_at)}
  if newest[KIND] == NEWEST and parse('>Hc0', place, newest[BODY]) == purpose then
    break
  end
  newest, old_at = nil, old_at + newest[SIZE]
end
