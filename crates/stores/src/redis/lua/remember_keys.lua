-- KEYS: which secrets the data was made under. ARGV: those of the caller. Refuses a caller that
-- has none of them; otherwise the caller's are the ones, with the index key last.
local FOR_GOOD = 3155760000000
local known = redis.call('GET', KEYS[1])
local common, index = not known, true
if known then
  for id in string.gmatch(known, '%S+') do
    for ours in string.gmatch(ARGV[1], '%S+') do
      common = common or id == ours
    end
  end
  index = string.match(known, '%S+$') == string.match(ARGV[1], '%S+$')
end
if not common then
  return 'foreign'
end
redis.call('SET', KEYS[1], ARGV[1], 'PX', FOR_GOOD)
return index and 'same' or 'reindexed'
