-- The failures of a recipient, beside the place: whether it is locked (1 byte) · how many there were
-- since the last success (4) · their moments (6 each). Most recipients have none.
local DAY = 86400000
-- How long a row of failures is remembered after the last one. A lock is until somebody lifts it; a
-- hundred years, as every key has a time to live.
local ROW_MEMORY, FOR_GOOD = 180 * DAY, 3155760000000
