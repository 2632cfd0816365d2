-- KEYS: the log of a source.
-- ARGV: clock · how long sends are remembered (6 bytes); the quotas of the source.
local span = parse('>I6', ARGV[1], 8)
