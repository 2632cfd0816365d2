if row[LEFT] == 0 then
  return 'exhausted '
end
local purpose, app, channel, digest = parse('>Hc0Bc0c1c36', place, row[BODY])
local right, candidates = false, ARGV[5]
for candidate = 1, #candidates, 36 do
  right = right or sub(candidates, candidate, candidate + 35) == digest
end
if not right then
  local binds = row[ID] .. recipient .. channel .. purpose
  if binds ~= ARGV[3] then
    return 'place ' .. binds
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
  return build('>c10I4', 'incorrect ', row[LEFT])
end
local verdict = 'approved '
