-- KEYS: the place. ARGV: clock · id (12 bytes); nothing; nothing; the app.
if not known then
  return 'gone '
end
if row[STATUS] == PENDING and now < row[EXPIRES] then
  row[STATUS], row[ENDED] = CANCELED, now
  call('SETRANGE', key, at - 1, build(HEAD, unpack(row)))
end
local status = row[STATUS]
if status == PENDING or status == EXPIRED or status == SUPERSEDED then
  return 'gone '
elseif status ~= CANCELED then
  return 'ended ' .. string.char(status)
end
local verdict, head = 'canceled ', build(HEAD, unpack(row))
