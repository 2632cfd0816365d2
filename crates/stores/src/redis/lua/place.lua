-- A place: what is kept of the recipients whose indexes begin with the same 32 bits, which is of one
-- but for rare chances. The handles of its verifications begin with the same bits, so whoever
-- knows a handle or a recipient names the key. Only failures are apart, as they live longer.
--
-- It is one text, one record a recipient, one after the other:
--   size of the record (3 bytes) · the rest of the recipient's index (12) · how long sends are
--   remembered (6) · how many there are (2) · their moments (6 each) · rows
-- A row is a verification:
--   HEAD · body · deliveries
--   body: size of the purpose (2) · purpose · size of the app (1) · app · channel (1) · key (4) ·
--     digest (32) · details · short digest (16)
--     A purpose or an app that is called "default" is the empty text.
--   delivery: id (16) · channel (1) · status (1) · moment (6) · size of the provider (1) ·
--     provider · message and error: one more than its size (2; 0 for none) · text
local RECORD, RECORD_SIZE = '>I3c12I6H', 23
local HEAD, HEAD_SIZE = '>I3c12BBI4I6I6I6I6I6I6BHI6BI3', 70
-- What a head holds. SIZE is that of the row, BODY_SIZE that of the body, BODY where that begins.
-- A moment of 0 is none. NEXT is one more than the next channel, 0 for none. COUNT counts
-- deliveries. SLOT_SENT and SLOT_UNTIL matter to the newest of a purpose.
local SIZE, ID, KIND, STATUS, LEFT, CREATED, SENT, EXPIRES, ENDED = 1, 2, 3, 4, 5, 6, 7, 8, 9
local SLOT_SENT, SLOT_UNTIL, OUTDATED, NEXT, DUE, COUNT = 10, 11, 12, 13, 14, 15
local BODY_SIZE, BODY = 16, 17
-- Kinds of rows: nobody's, somebody's, and the newest of somebody and a purpose.
local NOBODYS, SOMEBODYS, NEWEST = 0, 1, 2
local PENDING, APPROVED, CANCELED, EXPIRED, EXHAUSTED, SUPERSEDED, FAILED = 0, 1, 2, 3, 4, 5, 6

-- The short digest of a code: what a node says of the code at this place (20 bytes), and what the code
-- binds, as SHA-1 joins them: recipient (12) · id (12) · the body up to the channel. The first 64 bits
-- of it, as hexadecimal digits; zeros where nobody knew the code.
local SHORT = 16

-- How long a verification can still be read after its code died.
local RETENTION = 300000

local key = KEYS[1]
local place = call('GET', key) or ''
-- The rest of a handle or of a recipient's index; where the rest of the first argument begins.
local whose, rest = parse('>c12', ARGV[1], 8)
-- What is found: where its record and row begin, and what the head of the row holds.
local record, at, row
-- How many bytes of the record are before its rows.
local before_rows
