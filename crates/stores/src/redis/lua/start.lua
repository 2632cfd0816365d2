-- KEYS: the place, the failures of the recipient.
-- ARGV: clock · recipient (12 bytes) · id (12) · whether there is one (1) · whether a live one
-- stays (1) · whether a quota admits nothing (1) · attempts (4) · life (6) · cooldown (6) · how long
-- sends are remembered (6) · how long this one is the newest of its purpose (6) · the budget of
-- failures · the limits; the body of the row.
local id, addressed, keeps_pending, barred, attempts, ttl, cooldown, span, memory, budget =
  parse('>c12BBBI4I6I6I6I6', ARGV[1], rest)
local recipient, sends, horizon, newest, old_at = whose, '', 0, row, at
if record then
  horizon = parse('>I6', place, record + 15)
  sends = sub(place, record + RECORD_SIZE, record + before_rows - 1)
end
if row and keeps_pending == 1 and row[STATUS] == PENDING and now < row[EXPIRES] then
  return 'live '
end
local failures = addressed == 1 and call('GET', KEYS[2])
