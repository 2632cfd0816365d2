-- Writes the record of `recipient` with `sends`, remembered for `horizon`: with `new` and its `body`
-- behind the rows that are still of use. It takes the place of the one at `replaced`; without that,
-- it supersedes the one at `old_at`, the newest of the same purpose until now.
local before, after, rows = place, '', ''
local till, slot_till = new[EXPIRES] + RETENTION, new[SLOT_UNTIL]
till = slot_till > till and slot_till or till
if record then
  local head_at, rows_till = record + before_rows, record + parse('>I3', place, record)
  before, after = sub(place, 1, record - 1), sub(place, rows_till)
  while head_at < rows_till do
    local found = {parse(HEAD, place, head_at)}
    local next_at = head_at + found[SIZE]
    if head_at == old_at and not replaced and found[STATUS] == PENDING then
      if now < found[EXPIRES] then
        found[STATUS], found[ENDED] = SUPERSEDED, now
      else
        -- Its life is over. Said for good, so that no clock that steps back revives it.
        found[STATUS] = EXPIRED
      end
    end
    -- Purposes are free text, so what is the newest of one must not pile up.
    if new[KIND] == NEWEST and found[KIND] == NEWEST
      and (head_at == old_at or found[SLOT_UNTIL] <= now) then
      found[KIND] = SOMEBODYS
    end
    if head_at ~= replaced and (found[KIND] == NEWEST or now < found[EXPIRES] + RETENTION) then
      rows = rows .. build(HEAD, unpack(found)) .. sub(place, head_at + HEAD_SIZE, next_at - 1)
      till = math.max(till, found[EXPIRES] + RETENTION, found[SLOT_UNTIL])
    end
    head_at = next_at
  end
end
if sends ~= '' then
  local sent_till = parse('>I6', sends, #sends - 5) + horizon
  till = sent_till > till and sent_till or till
end
local life = GRACE + (till > now and till - now or 0)
if before ~= '' or after ~= '' then
  -- Somebody else's, too.
  life = math.max(life, call('PTTL', key))
end
local size = RECORD_SIZE + #sends + #rows + HEAD_SIZE + #body
new[SIZE] = HEAD_SIZE + #body
local head = build(HEAD, unpack(new))
call('SET', key, before .. build(RECORD, size, recipient, horizon, #sends / 6) .. sends .. rows .. head
  .. body .. after, 'PX', life)
