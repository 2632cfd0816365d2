-- KEYS: the verification, or the ledger of the recipient.
local key = KEYS[1]
local app = text()
local purpose = maybe_text()
local allowed = budget()

if purpose then
  local slot = slot_of(load_ledger(key), purpose)
  if not slot then
    return {'gone'}
  end
  key = beside(key, 'v', slot[SLOT_ID])
end
local row = load_row(key)
if not row or row[APP] ~= app or forgotten(row) then
  return {'gone'}
end
local status = status_of(row)
if status ~= 'pending' then
  return {status == 'exhausted' and status or 'gone'}
end
-- Whether failures count is known by the verification, whatever the caller says.
local ledger_key = beside(key, 'r', row[RECIPIENT])
local ledger = row[ADDRESSED] and load_ledger(ledger_key)
local locked = ledger and lock(ledger, allowed)
if locked then
  return locked
end
if row[LEFT] <= 0 then
  return {'exhausted'}
end
-- Paid before it is compared: should the comparison fail half-way, the attempt is gone.
row[LEFT] = row[LEFT] - 1
save_row(key, row)

-- What the node has joined already, for a place that it remembers, is taken where the place is
-- that of the row.
local place = id_of(key) .. row[RECIPIENT] .. string.char(#row[CHANNEL]) .. row[CHANNEL]
  .. struct.pack('>I2', #row[PURPOSE]) .. row[PURPOSE]
local known_place = maybe_text()
local right = false
for _ = 1, number() do
  local key_id, mac, joined = text(), text(), text()
  if key_id == row[KEY] then
    if known_place ~= place then
      joined = sha256(mac .. place)
    end
    right = right or joined == row[HASH]
  end
end
if right then
  finish(row, 'approved')
  save_row(key, row)
  if ledger and ledger[IN_A_ROW] > 0 then
    -- The windows of an hour and a day stay: else every success would buy another ten guesses.
    ledger[IN_A_ROW] = 0
    save_ledger(ledger_key, ledger)
  end
  return {'approved', told(key, row)}
end
if ledger then
  forget(ledger[FAILURES], DAY)
  record(ledger[FAILURES])
  ledger[IN_A_ROW] = ledger[IN_A_ROW] + 1
  ledger[LOCKED] = ledger[LOCKED] or ledger[IN_A_ROW] >= allowed.in_a_row
  save_ledger(ledger_key, ledger)
end
if row[LEFT] == 0 then
  finish(row, 'exhausted')
  save_row(key, row)
end
return {'incorrect', row[LEFT]}
