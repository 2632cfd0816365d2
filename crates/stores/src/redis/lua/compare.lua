if row[LEFT] == 0 then
  return 'exhausted '
end
-- Up to the channel, which is behind purpose and app.
local channel_at = app_at + 1 + #ARGV[4]
local head = sub(place, row[BODY], channel_at)
local short_at = row[BODY] + row[BODY_SIZE] - SHORT
local short, right, candidates = sub(place, short_at, short_at + SHORT - 1), false, ARGV[3]
if string.byte(short) > 0 then
  local under = sub(place, channel_at + 1, channel_at + 4)
  for candidate = 1, #candidates, 24 do
    if sub(candidates, candidate, candidate + 3) == under then
      local said = sub(candidates, candidate + 4, candidate + 23)
      right = right or sub(redis.sha1hex(said .. recipient .. row[ID] .. head), 1, SHORT) == short
    end
  end
else
  local binds = recipient .. row[ID] .. head
  if ARGV[5] ~= binds then
    return 'place ' .. binds
  end
  local digest = sub(place, channel_at + 1, channel_at + 36)
  for candidate = 1, #ARGV[6], 36 do
    right = right or sub(ARGV[6], candidate, candidate + 35) == digest
  end
end
row[LEFT] = row[LEFT] - 1
if right then
  row[STATUS], row[ENDED] = APPROVED, now
elseif row[LEFT] == 0 then
  row[STATUS], row[ENDED] = EXHAUSTED, now
end
local head = build(HEAD, unpack(row))
call('SETRANGE', key, at - 1, head)
local locked, in_a_row, log = 0, 0, ''
if failures then
  locked, in_a_row = parse('>BI4', failures)
  log = sub(failures, 6)
end
-- A success ends the row of failures. The windows of an hour and a day stay: else every success
-- would buy another ten guesses.
if addressed and not right or in_a_row > 0 then
  if right then
    in_a_row = 0
  else
    log, in_a_row = counted(log, DAY), in_a_row + 1
    if in_a_row >= parse('>I4', ARGV[1], budget + 21) then
      locked = 1
    end
  end
  local till = parse('>I6', log, #log - 5) + (in_a_row > 0 and ROW_MEMORY or DAY)
  local life = locked == 1 and FOR_GOOD or till > now and till - now or 0
  call('SET', failures_key, build('>BI4', locked, in_a_row) .. log, 'PX', life + GRACE)
end
if not right then
  return build('>c10I4B', 'incorrect ', row[LEFT], locked)
end
local verdict = 'approved '
