-- What a send has to pay, and whether the recipient may be sent a code.

local function terms()
  return {
    budget = budget(),
    cooldown = number(),
    limits = quotas(),
    horizon = number(), -- how long sends are remembered
    slot_memory = number(), -- how long this one is the newest of its purpose
  }
end

-- The first reason why not: the lock, then the cooldown, then the limits.
local function refuses(ledger, purpose, paid)
  local locked = paid.budget and lock(ledger, paid.budget)
  if locked then
    return locked
  end
  local slot = slot_of(ledger, purpose)
  if slot and slot[SLOT_SENT] then
    local sent_at = slot[SLOT_SENT]
    local free_at = sent_at + paid.cooldown
    -- Where the clock stepped back, the send is the present, as in the log of sends.
    if free_at > math.max(now, sent_at) then
      return {'cooldown', free_at - now}
    end
  end
  local limited = wait_of(ledger[SENDS], paid.limits)
  return limited and {'recipient-limit', limited}
end

-- Counts a send and makes `id` the newest verification of its purpose; when it counts from.
local function count_send(ledger, purpose, id, paid)
  forget(ledger[SENDS], paid.horizon)
  local at = record(ledger[SENDS])
  ledger[HORIZON] = math.max(ledger[HORIZON], paid.horizon)
  -- Purposes are free text, so their slots must not pile up.
  local kept = {}
  for _, slot in ipairs(ledger[SLOTS]) do
    if slot[SLOT_UNTIL] > now then
      kept[#kept + 1] = slot
    end
  end
  ledger[SLOTS] = kept
  local _, place = slot_of(ledger, purpose)
  kept[place or #kept + 1] = {purpose, id, at, at + paid.slot_memory}
  return at
end
