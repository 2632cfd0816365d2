-- The new row. It is nobody's, and counts for nobody, where there is no recipient.
local body, counted_at, replaced = ARGV[2], now, nil
local new = {0, id, NOBODYS, PENDING, attempts, now, now, now + ttl, 0, 0, 0, 0, 0, 0, 0, #body}
if addressed == 1 then
  sends, counted_at = counted(sends, span)
  horizon = span > horizon and span or horizon
  new[KIND], new[SLOT_SENT], new[SLOT_UNTIL] = NEWEST, counted_at, counted_at + memory
end
