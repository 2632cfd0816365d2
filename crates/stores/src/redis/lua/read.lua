-- KEYS: the place.
-- ARGV: clock · the rest of the id or of the recipient (12 bytes); the size of the purpose (2) and
-- the purpose, of a recipient; nothing; the app.
if not known then
  return 'gone '
end
local verdict, head = 'row ', sub(place, at, at + HEAD_SIZE - 1)
