-- What the caller is told of the verification: the rest of the recipient's index, and the row, whose
-- head is `head` now.
return verdict .. sub(place, record + 3, record + 14) .. head
  .. sub(place, at + HEAD_SIZE, at + row[SIZE] - 1)
