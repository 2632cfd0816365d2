-- KEYS: the verification.
local key = KEYS[1]
local row = load_row(key)
if row and finish(row, 'failed') then
  save_row(key, row)
end
return true
