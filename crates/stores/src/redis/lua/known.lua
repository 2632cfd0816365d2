-- Whether the verification is there for this app, the fourth argument.
local known = row and now < row[EXPIRES] + RETENTION
if known then
  local _, from = parse('>Hc0', place, row[BODY])
  known = parse('>Bc0', place, from) == ARGV[4]
end
