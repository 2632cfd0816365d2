-- KEYS: the ledger of the recipient.
local key = KEYS[1]
local ledger = load_ledger(key)
local last = newest(ledger[FAILURES])
local held = ledger[LOCKED] or ledger[IN_A_ROW] > 0 or (last and last + DAY > now)
if held or last then
  ledger[FAILURES], ledger[IN_A_ROW], ledger[LOCKED] = {}, 0, false
  save_ledger(key, ledger)
end
return held and 1 or 0
