-- Whether the verification is there for this app, the fourth argument. Where its size is in the body.
local known, app_at = row and now < row[EXPIRES] + RETENTION, nil
if known then
  app_at = row[BODY] + 2 + parse('>H', place, row[BODY])
  known = parse('>Bc0', place, app_at) == ARGV[4]
end
