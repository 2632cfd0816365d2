-- Whether the source may send. Its log is the last key, its quotas are the last argument.
local source, source_quotas = KEYS[#KEYS], ARGV[#ARGV]
local charges = call('GET', source) or ''
local refused = wait(charges, source_quotas, 1)
if refused then
  return build('>c13I6', 'source-limit ', refused)
end
