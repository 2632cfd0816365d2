-- KEYS: the place. Takes the turn of the next channel if its time has come and the code lives; or
-- only says when it comes. ARGV: clock · id (12 bytes) · whether this only looks (1).
local live = row and row[STATUS] == PENDING and now < row[EXPIRES]
if not live or row[NEXT] == 0 or row[DUE] == 0 then
  return 'none '
end
local turn, due = row[NEXT], row[DUE]
if string.byte(ARGV[1], rest) == 1 then
  return build('>c4I6', 'due ', due)
elseif due > now then
  return 'none '
end
row[NEXT], row[DUE] = 0, 0
local verdict, head = build('>c5I6H', 'turn ', due, turn), build(HEAD, unpack(row))
call('SETRANGE', key, at - 1, head)
