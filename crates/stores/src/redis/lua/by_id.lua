-- Finds a verification by its handle.
local from = 1
while from < #place and not row do
  local size, _, _, sends = parse(RECORD, place, from)
  local head = from + RECORD_SIZE + 6 * sends
  while head < from + size do
    local found = {parse(HEAD, place, head)}
    if found[ID] == whose then
      record, at, row, before_rows = from, head, found, RECORD_SIZE + 6 * sends
      break
    end
    head = head + found[SIZE]
  end
  from = from + size
end
