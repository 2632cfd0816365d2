-- Finds the newest verification of a recipient and of the purpose that the second argument begins
-- with, or only the record.
local from = 1
while from < #place and not record do
  local size, recipient, _, sends = parse(RECORD, place, from)
  if recipient == whose then
    record, before_rows = from, RECORD_SIZE + 6 * sends
    local purpose, head = parse('>Hc0', ARGV[2]), from + before_rows
    while head < from + size do
      local found = {parse(HEAD, place, head)}
      if found[KIND] == NEWEST and parse('>Hc0', place, found[BODY]) == purpose then
        at, row = head, found
      end
      head = head + found[SIZE]
    end
  end
  from = from + size
end
