-- KEYS: the place.
-- ARGV: clock · the rest of the id or of the recipient (12 bytes) · whether a quota admits
-- nothing (1) · the budget of failures · how many in a row lock (4); the size of the purpose (2) and
-- the purpose, of a recipient; what the node says of the code under each of its keys, key (4) and
-- 20 bytes each; the app; what the digest binds, where the node was told that before; the digests as
-- they are for that, key (4) and digest (32) each.
--
-- The digest of a code binds id, recipient, channel and purpose, and whoever asks knows some of
-- them only. So they are joined here, by SHA-1, which the server has: the short digest is compared,
-- and a node that is told of an approval looks at the digest itself. A row that was copied from
-- another store has no short one. There, nothing is compared or spent at first: the node is told what
-- the digest binds, and asks again with the digest as it is for that.
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
