-- KEYS: the ledger of the recipient, the new verification.
local ledger_key, key = KEYS[1], KEYS[2]
local row = {
  text(), text(), false, text(), text(), 'pending', text(), text(), number(),
  now, now, now + number(), false, text(), {}, 0, false, false,
}
local keeps_pending = text() == 'refuse'
local paid = terms()
row[ADDRESSED] = paid.budget and true or false

local ledger = load_ledger(ledger_key)
local slot = slot_of(ledger, row[PURPOSE])
local old_key = slot and beside(key, 'v', slot[SLOT_ID])
local old = old_key and load_row(old_key)
if old and status_of(old) == 'pending' and keeps_pending then
  return {'live'}
end
local refused = refuses(ledger, row[PURPOSE], paid)
if refused then
  return refused
end
if old then
  if finish(old, 'superseded') then
    save_row(old_key, old)
  elseif old[STATUS] == 'pending' then
    -- Its life is over. Said for good, so that no clock that steps back revives it.
    old[STATUS] = 'expired'
    save_row(old_key, old)
  end
end
local at = now
if row[ADDRESSED] then
  at = count_send(ledger, row[PURPOSE], id_of(key), paid)
  save_ledger(ledger_key, ledger)
end
save_row(key, row)
return {'started', now, at}
