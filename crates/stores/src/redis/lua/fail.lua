-- KEYS: the place. ARGV: clock · id (12 bytes) · when the code was sent that failed (6).
local sent_at = parse('>I6', ARGV[1], rest)
if row and row[STATUS] == PENDING and row[SENT] == sent_at and now < row[EXPIRES] then
  row[STATUS], row[ENDED] = FAILED, now
  call('SETRANGE', key, at - 1, build(HEAD, unpack(row)))
end
return 'done '
