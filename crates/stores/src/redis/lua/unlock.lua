-- KEYS: the failures of the recipient. ARGV: clock.
local failures = call('GET', KEYS[1])
if not failures then
  return 'none '
end
call('DEL', KEYS[1])
local locked, in_a_row = parse('>BI4', failures)
local recently = parse('>I6', failures, #failures - 5) + DAY > now
return (locked == 1 or in_a_row > 0 or recently) and 'held ' or 'none '
