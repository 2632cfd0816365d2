-- KEYS: the place. Notes hand-overs; whose turn it is now.
-- ARGV: clock · id (12 bytes) · of which dispatch this is the end, by when its code was sent (6; 0
-- for none) · what comes next, one more than its number (2; 0 for nothing) · when (6; 0 for never) ·
-- how many deliveries (2); these, as in a row.
local MAX_DELIVERIES = 64
local FAILED_DELIVERY, DELIVERED, NONE = 3, 4, '\0\0'
if not row or now >= row[EXPIRES] + RETENTION then
  return 'gone '
end
local dispatched_at, next_channel, due, count = parse('>I6HI6H', ARGV[1], rest)
local news = ARGV[2]
local deliveries_at, till = row[BODY] + row[BODY_SIZE], at + row[SIZE]
local changed, turn, at_once = false, 0, 0
-- A dispatch that ends after a resend carried an earlier code.
local present = dispatched_at == 0 or dispatched_at == row[SENT]
if dispatched_at > 0 and present then
  due = due > 0 and due + ahead or 0
  if row[NEXT] ~= next_channel or row[DUE] ~= due then
    row[NEXT], row[DUE], changed = next_channel, due, true
  end
end

if row[COUNT] == 0 and count == 1 and present and row[NEXT] == 0 then
  -- As most often: the first hand-over, with nothing to come after it.
  row[COUNT], changed = 1, true
else
  -- A delivery, and where the next one begins. Message and error are kept with their sizes.
  local function delivery_at(text, from)
    local id, channel, state, moment, provider, message = parse('>c16c1BI6Bc0', text, from)
    local error = message + 2 + math.max(parse('>H', text, message) - 1, 0)
    local till = error + 2 + math.max(parse('>H', text, error) - 1, 0)
    return {
      id = id, channel = channel, state = state, at = moment, provider = provider,
      message = sub(text, message, error - 1), error = sub(text, error, till - 1),
    }, till
  end

  -- Takes in what is newly known of a delivery; whether that is anything. It only moves forward,
  -- and a provider speaks for its own hand-overs only.
  local function advance(known, newer)
    if newer.provider ~= known.provider then
      return false
    end
    local forward = newer.state > known.state
    if forward then
      known.state, known.error, known.at = newer.state, newer.error, math.max(known.at, newer.at)
    end
    if newer.message ~= NONE and (forward or known.message == NONE) then
      -- It may be that its receipt was faster than the answer that names it.
      known.message = newer.message
      return true
    end
    return forward
  end

  local all, newer, from = {}, nil, deliveries_at
  for each = 1, row[COUNT] do
    all[each], from = delivery_at(place, from)
  end
  from = 1
  for _ = 1, count do
    newer, from = delivery_at(news, from)
    local known
    for _, other in ipairs(all) do
      known = known or (other.id == newer.id and other)
    end
    if known then
      changed = advance(known, newer) or changed
    elseif #all < MAX_DELIVERIES then
      if present then
        all[#all + 1] = newer
      else
        table.insert(all, math.min(row[OUTDATED], #all) + 1, newer)
        row[OUTDATED] = row[OUTDATED] + 1
      end
      changed = true
    end
  end
  if row[NEXT] > 0 then
    local arrived, failed = false, #all > row[OUTDATED]
    for each = row[OUTDATED] + 1, #all do
      local state = all[each].state
      arrived = arrived or state >= DELIVERED
      failed = failed and state == FAILED_DELIVERY
    end
    local falls = failed and row[STATUS] == PENDING and now < row[EXPIRES]
    if falls and dispatched_at > 0 then
      -- A receipt was faster than the end of its dispatch, whose caller waits for an answer: the
      -- turn is due at once, for whoever looks after those.
      at_once = row[DUE] > 0 and math.min(row[DUE], now) or now
      row[DUE], changed = at_once, true
    elseif arrived or falls then
      turn = falls and row[NEXT] or 0
      row[NEXT], row[DUE], changed = 0, 0, true
    end
  end
  for each, known in ipairs(all) do
    all[each] = build(
      '>c16c1BI6B', known.id, known.channel, known.state, known.at, #known.provider)
      .. known.provider .. known.message .. known.error
  end
  row[COUNT], news = #all, table.concat(all)
end
local answer = ''
if changed then
  local size = parse('>I3', place, record) - row[SIZE]
  row[SIZE] = HEAD_SIZE + row[BODY_SIZE] + #news
  local text = build(HEAD, unpack(row)) .. sub(place, row[BODY], deliveries_at - 1) .. news
  call('SET', key, sub(place, 1, record - 1) .. build('>I3', size + row[SIZE])
    .. sub(place, record + 3, at - 1) .. text .. sub(place, till), 'KEEPTTL')
  if turn > 0 then
    answer = sub(place, record + 3, record + 14) .. text
  end
end
return build('>c6I6I6H', 'noted ', row[EXPIRES] + RETENTION, at_once, turn) .. answer
