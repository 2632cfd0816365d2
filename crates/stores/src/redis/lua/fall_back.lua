-- KEYS: the verification. Takes the turn of the next channel if its time has come and the code
-- lives; or only says when it comes.
local key, only_look = KEYS[1], text() == 'look'
local row = load_row(key)
local due = row and row[NEXT] and status_of(row) == 'pending' and row[DUE]
if only_look then
  return due
end
if not due or due > now then
  return false
end
local turn = row[NEXT]
row[NEXT], row[DUE] = false, false
save_row(key, row)
return {turn, told(key, row), due}
