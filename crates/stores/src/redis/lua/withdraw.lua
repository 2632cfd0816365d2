-- KEYS: the verification. Gives a send back that no provider could be reached for: its place in
-- the window, and the cooldown it began.
local key = KEYS[1]
local at, ends = maybe_number(), text() == 'ends'
local row = load_row(key)
if not row then
  return false
end
local ledger_key = beside(key, 'r', row[RECIPIENT])
local ledger = at and load_ledger(ledger_key)
if ledger then
  local sends = ledger[SENDS]
  for place = #sends, 1, -1 do
    if sends[place] == at then
      table.remove(sends, place)
      break
    end
  end
  local slot = slot_of(ledger, row[PURPOSE])
  if slot and slot[SLOT_ID] == id_of(key) and slot[SLOT_SENT] == at then
    slot[SLOT_SENT] = false
  end
  save_ledger(ledger_key, ledger)
end
if ends and finish(row, 'failed') then
  save_row(key, row)
end
return true
