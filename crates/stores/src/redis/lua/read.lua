-- KEYS: the verification, or the ledger of the recipient.
local key = KEYS[1]
local app, purpose = text(), maybe_text()
if purpose then
  local slot = slot_of(load_ledger(key), purpose)
  if not slot then
    return false
  end
  key = beside(key, 'v', slot[SLOT_ID])
end
local row = load_row(key)
if not row or row[APP] ~= app or forgotten(row) then
  return false
end
return told(key, row)
