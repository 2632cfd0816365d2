-- The counters of one recipient: a packed array beside its verifications. These are its places.
local SENDS, FAILURES, IN_A_ROW, LOCKED, SLOTS, HORIZON = 1, 2, 3, 4, 5, 6
-- And those of a slot, the newest verification of one purpose.
local SLOT_PURPOSE, SLOT_ID, SLOT_SENT, SLOT_UNTIL = 1, 2, 3, 4

local HOUR, DAY = 3600000, 86400000
-- How long a row of failures is remembered after the last one.
local ROW_MEMORY = 180 * DAY

local function load_ledger(key)
  local packed = redis.call('GET', key)
  if packed then
    return cmsgpack.unpack(packed)
  end
  return {{}, {}, 0, false, {}, 0}
end

local function newest(log)
  return log[#log]
end

local function save_ledger(key, ledger)
  local sends, failures, slots = ledger[SENDS], ledger[FAILURES], ledger[SLOTS]
  if #sends == 0 and #failures == 0 and #slots == 0 and ledger[IN_A_ROW] == 0
    and not ledger[LOCKED] then
    redis.call('DEL', key)
    return
  end
  local till = now
  if #sends > 0 then
    till = math.max(till, newest(sends) + ledger[HORIZON])
  end
  if #failures > 0 then
    till = math.max(till, newest(failures) + (ledger[IN_A_ROW] > 0 and ROW_MEMORY or DAY))
  end
  for _, slot in ipairs(slots) do
    till = math.max(till, slot[SLOT_UNTIL])
  end
  if ledger[LOCKED] then
    till = now + FOR_GOOD
  end
  redis.call('SET', key, cmsgpack.pack(ledger), 'PX', life(till))
end

local function forget(log, horizon)
  local gone = 0
  while log[gone + 1] and log[gone + 1] + horizon <= now do
    gone = gone + 1
  end
  if gone > 0 then
    local size = #log
    for place = 1, size do
      log[place] = log[place + gone]
    end
  end
end

-- Remembers an entry and returns the moment it counts from.
local function record(log)
  local at = math.max(now, newest(log) or now)
  log[#log + 1] = at
  return at
end

local function wait_of(log, limits)
  return wait(#log, function(place) return log[place] end, limits)
end

-- The failures that a recipient bears; false where there is no recipient.
local function budget()
  local hour = maybe_number()
  local day, in_a_row = maybe_number(), maybe_number()
  return hour and {hour = hour, day = day, in_a_row = in_a_row}
end

-- Why the recipient bears no check and no send at present; nil if it does. Without a number of
-- milliseconds, somebody has to unlock it.
local function lock(ledger, allowed)
  if ledger[LOCKED] then
    return {'locked', false}
  end
  local locked = wait_of(ledger[FAILURES], {{allowed.hour, HOUR}, {allowed.day, DAY}})
  return locked and {'locked', locked}
end

local function slot_of(ledger, purpose)
  for place, slot in ipairs(ledger[SLOTS]) do
    if slot[SLOT_PURPOSE] == purpose then
      return slot, place
    end
  end
end
