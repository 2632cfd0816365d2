-- KEYS: the place. Gives a send back that no provider could be reached for: its moment in the
-- window, and the cooldown it began. ARGV: clock · id (12 bytes) · when it began to count (6) · when
-- the code was sent (6) · whether the verification ends with it (1), if no other was sent since.
if not row then
  return 'gone '
end
local counted_at, sent_at, ends = parse('>I6I6B', ARGV[1], rest)
if row[KIND] == NEWEST and row[SLOT_SENT] == counted_at then
  row[SLOT_SENT] = 0
end
if ends == 1 and row[STATUS] == PENDING and row[SENT] == sent_at and now < row[EXPIRES] then
  row[STATUS], row[ENDED] = FAILED, now
end
call('SETRANGE', key, at - 1, build(HEAD, unpack(row)))
local size, recipient, horizon, count = parse(RECORD, place, record)
for entry = record + before_rows - 6, record + RECORD_SIZE, -6 do
  if parse('>I6', place, entry) == counted_at then
    place = call('GET', key)
    call('SET', key, sub(place, 1, record - 1) .. build(RECORD, size - 6, recipient, horizon, count - 1)
      .. sub(place, record + RECORD_SIZE, entry - 1) .. sub(place, entry + 6), 'KEEPTTL')
    break
  end
end
return 'done '
