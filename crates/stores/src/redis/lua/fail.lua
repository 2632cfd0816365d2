-- KEYS: the place. ARGV: clock · id (12 bytes).
if row and row[STATUS] == PENDING and now < row[EXPIRES] then
  row[STATUS], row[ENDED] = FAILED, now
  call('SETRANGE', key, at - 1, build(HEAD, unpack(row)))
end
return 'done '
