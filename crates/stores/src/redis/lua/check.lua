-- KEYS: the place.
-- ARGV: clock · the rest of the id or of the recipient (12 bytes) · whether a quota admits
-- nothing (1) · the budget of failures · how many in a row lock (4); the size of the purpose (2) and
-- the purpose, of a recipient; what the caller believes of the place that the digest binds; the app;
-- the candidates, key (4) and digest (32) each.
--
-- The digest of a code binds id, recipient, channel and purpose, and whoever asks knows some of
-- them only. A node brings the digest along as it is for the place that it believes in; where that
-- is not the place of the row, nothing is compared or spent, and it is told the right one.
if not known then
  return 'gone '
end
if row[STATUS] ~= PENDING or now >= row[EXPIRES] then
  return row[STATUS] == EXHAUSTED and 'exhausted ' or 'gone '
end
local recipient = sub(place, record + 3, record + 14)
-- Whether failures count is known by the verification, whatever the caller says.
local addressed, failures_key, failures = row[KIND] ~= NOBODYS, nil, nil
if addressed then
  failures_key = sub(key, 1, -4) .. 'f' .. sub(key, -2) .. recipient
  failures = call('GET', failures_key)
end
local barred, budget = string.byte(ARGV[1], rest), rest + 1
barred = addressed and barred
