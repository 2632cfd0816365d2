-- Why the recipient bears no check and no send at present. The budget is packed at `budget`: quotas,
-- two of them or none at all, for 21 bytes. A lock without an end is for somebody to lift.
if (failures or barred == 1) and string.byte(ARGV[1], budget) > 0 then
  if failures and string.byte(failures) == 1 then
    return 'locked '
  end
  local locked = wait(failures and sub(failures, 6) or '', ARGV[1], budget)
  if locked then
    return build('>c7I6', 'locked ', locked)
  end
end
