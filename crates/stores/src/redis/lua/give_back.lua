-- KEYS: the log of a source. Gives a charge back. ARGV: clock · when it began to count (6 bytes).
local log, counted_at = call('GET', KEYS[1]) or '', parse('>I6', ARGV[1], 8)
for entry = #log - 5, 1, -6 do
  if parse('>I6', log, entry) == counted_at then
    if #log == 6 then
      call('DEL', KEYS[1])
    else
      call('SET', KEYS[1], sub(log, 1, entry - 1) .. sub(log, entry + 6), 'KEEPTTL')
    end
    break
  end
end
return 'done '
