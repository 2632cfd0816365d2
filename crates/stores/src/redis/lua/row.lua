-- A verification is a packed array under the tag of its recipient. These are its places.
local APP, RECIPIENT, ADDRESSED, PURPOSE, CHANNEL, STATUS = 1, 2, 3, 4, 5, 6
local KEY, HASH, LEFT, CREATED, SENT, EXPIRES, ENDED = 7, 8, 9, 10, 11, 12, 13
local DETAILS, DELIVERIES, OUTDATED, NEXT, DUE = 14, 15, 16, 17, 18

-- How long it can still be read after its code died.
local RETENTION = 300000

local function load_row(key)
  local packed = redis.call('GET', key)
  return packed and cmsgpack.unpack(packed)
end

local function save_row(key, row)
  redis.call('SET', key, cmsgpack.pack(row), 'PX', life(row[EXPIRES] + RETENTION))
end

local function status_of(row)
  if row[STATUS] == 'pending' and now >= row[EXPIRES] then
    return 'expired'
  end
  return row[STATUS]
end

local function forgotten(row)
  return now >= row[EXPIRES] + RETENTION
end

-- Ends it, if it has not ended; whether it did.
local function finish(row, status)
  local live = status_of(row) == 'pending'
  if live then
    row[STATUS], row[ENDED] = status, now
  end
  return live
end

-- Keys are a namespace, the tag in braces, a letter, and 16 bytes. Other keys of the same tag are
-- made from one that the caller names: they are in the same slot, whatever the tag is.
local function beside(key, letter, bytes)
  return string.sub(key, 1, -18) .. letter .. bytes
end

local function id_of(key)
  return string.sub(key, -16)
end

-- What the caller is told of a verification. A false becomes a nil of the protocol.
local function told(key, row)
  return {
    id_of(key), row[APP], row[RECIPIENT], row[ADDRESSED] and 1 or 0, row[PURPOSE], row[CHANNEL],
    row[STATUS], row[KEY], row[HASH], row[LEFT], row[CREATED], row[SENT], row[EXPIRES], row[ENDED],
    row[DETAILS], row[DELIVERIES], row[OUTDATED], row[NEXT], row[DUE],
  }
end
