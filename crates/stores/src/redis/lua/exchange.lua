-- KEYS: a place. ARGV: what it held when it was read, and what it shall hold for as long.
if redis.call('GET', KEYS[1]) ~= ARGV[1] then
  return 'changed '
end
redis.call('SET', KEYS[1], ARGV[2], 'KEEPTTL')
return 'exchanged '
