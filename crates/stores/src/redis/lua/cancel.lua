-- KEYS: the verification.
local key, app = KEYS[1], text()
local row = load_row(key)
if not row or row[APP] ~= app or forgotten(row) then
  return {'gone'}
end
if finish(row, 'canceled') then
  save_row(key, row)
end
local status = status_of(row)
if status == 'canceled' then
  return {'canceled', told(key, row)}
elseif status == 'expired' or status == 'superseded' then
  return {'gone'}
end
return {'ended', status}
