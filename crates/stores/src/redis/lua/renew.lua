-- The row with a fresh code.
local counted_at, replaced, new = now, at, row
if row[KIND] ~= NOBODYS then
  sends, counted_at = counted(sends, span)
  horizon = span > horizon and span or horizon
  row[KIND], row[SLOT_SENT], row[SLOT_UNTIL] = NEWEST, counted_at, counted_at + memory
end
row[LEFT], row[SENT], row[EXPIRES] = attempts, now, now + ttl
-- From now on its deliveries carry a fresh code.
row[OUTDATED], row[NEXT], row[DUE] = row[COUNT], 0, 0
local kept = sub(place, row[BODY], app_at + string.byte(place, app_at))
local body = kept .. ARGV[2]
local binds = recipient .. row[ID] .. sub(body, 1, #kept + 1)
body = body .. sub(redis.sha1hex(ARGV[3] .. binds), 1, SHORT)
local deliveries = sub(place, row[BODY] + row[BODY_SIZE], at + row[SIZE] - 1)
row[BODY_SIZE], body = #body, body .. deliveries
