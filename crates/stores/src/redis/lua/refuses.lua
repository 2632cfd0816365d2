-- The first reason why the recipient may not be sent a code, beside the lock: the cooldown since
-- `newest`, the newest verification of the same purpose, then the limits.
local sent_at = newest and newest[SLOT_SENT] or 0
if sent_at > 0 then
  -- Where the clock stepped back, the send is the present, as in the log of sends.
  local free_at, present = sent_at + cooldown, sent_at > now and sent_at or now
  if free_at > present then
    return build('>c9I6', 'cooldown ', free_at - now)
  end
end
if sends ~= '' or barred == 1 then
  local limited = wait(sends, ARGV[1], budget + 21)
  if limited then
    return build('>c16I6', 'recipient-limit ', limited)
  end
end
