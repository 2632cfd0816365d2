-- KEYS: the verification.
local key = KEYS[1]
local app, channel = text(), text()
local key_id, hash, attempts, ttl, details = text(), text(), number(), number(), text()
local paid = terms()

local row = load_row(key)
if not row or row[APP] ~= app or forgotten(row) then
  return {'gone'}
end
local status = status_of(row)
if status ~= 'pending' then
  return {status == 'exhausted' and status or 'gone'}
end
local ledger_key = beside(key, 'r', row[RECIPIENT])
local ledger = load_ledger(ledger_key)
local refused = refuses(ledger, row[PURPOSE], paid)
if refused then
  return refused
end
local at = now
if row[ADDRESSED] then
  at = count_send(ledger, row[PURPOSE], id_of(key), paid)
  save_ledger(ledger_key, ledger)
end
row[CHANNEL], row[KEY], row[HASH], row[DETAILS] = channel, key_id, hash, details
row[LEFT], row[SENT], row[EXPIRES] = attempts, now, now + ttl
-- From now on its deliveries carry a fresh code.
row[OUTDATED], row[NEXT], row[DUE] = #row[DELIVERIES], false, false
save_row(key, row)
return {'renewed', now, at, told(key, row)}
