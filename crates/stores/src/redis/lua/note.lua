-- KEYS: the verification. Notes hand-overs; whose turn it is now.
local key = KEYS[1]
local MAX_DELIVERIES = 64
local ID, PROVIDER, STATE, AT, MESSAGE, ERROR = 1, 3, 4, 5, 6, 7
local FAR = {unknown = 1, accepted = 2, sent = 3, failed = 4, delivered = 5, read = 6}

local row = load_row(key)
if not row or forgotten(row) then
  return false
end

-- Takes in what is newly known of a delivery; whether that is anything. It only moves forward,
-- and a provider speaks for its own hand-overs only.
local function advance(known, newer)
  if newer[PROVIDER] ~= known[PROVIDER] then
    return false
  end
  if FAR[newer[STATE]] > FAR[known[STATE]] then
    known[STATE], known[ERROR] = newer[STATE], newer[ERROR]
    known[AT] = math.max(known[AT], newer[AT])
    known[MESSAGE] = newer[MESSAGE] or known[MESSAGE]
    return true
  end
  if not known[MESSAGE] and newer[MESSAGE] then
    -- Its receipt was faster than the answer that names it.
    known[MESSAGE] = newer[MESSAGE]
    return true
  end
  return false
end

local deliveries = row[DELIVERIES]

local function known_as(id)
  for _, known in ipairs(deliveries) do
    if known[ID] == id then
      return known
    end
  end
end

local dispatched_at = maybe_number()
local next_channel, due = maybe_number(), maybe_number()
due = due and due + ahead
-- A dispatch that ends after a resend carried an earlier code.
local present = not dispatched_at or dispatched_at == row[SENT]
local changed = false
for _ = 1, number() do
  local newer = {text(), text(), text(), text(), number(), maybe_text(), maybe_text()}
  local known = known_as(newer[ID])
  if known then
    changed = advance(known, newer) or changed
  elseif #deliveries < MAX_DELIVERIES then
    if present then
      deliveries[#deliveries + 1] = newer
    else
      table.insert(deliveries, math.min(row[OUTDATED], #deliveries) + 1, newer)
      row[OUTDATED] = row[OUTDATED] + 1
    end
    changed = true
  end
end
if dispatched_at and present and (row[NEXT] ~= next_channel or row[DUE] ~= due) then
  row[NEXT], row[DUE] = next_channel, due
  changed = true
end

local turn, at_once = false, false
if row[NEXT] then
  local arrived, failed, count = false, true, 0
  for place = row[OUTDATED] + 1, #deliveries do
    local state = deliveries[place][STATE]
    arrived = arrived or FAR[state] >= FAR.delivered
    failed = failed and state == 'failed'
    count = count + 1
  end
  local falls = failed and count > 0 and status_of(row) == 'pending'
  if falls and dispatched_at then
    -- A receipt was faster than the end of its dispatch, whose caller waits for an answer: the
    -- turn is due at once, for whoever looks after those.
    row[DUE] = math.min(row[DUE] or now, now)
    at_once = row[DUE]
    changed = true
  elseif arrived or falls then
    turn = falls and row[NEXT]
    row[NEXT], row[DUE] = false, false
    changed = true
  end
end
if changed then
  save_row(key, row)
end
return {turn, row[EXPIRES] + RETENTION, at_once, turn and told(key, row)}
