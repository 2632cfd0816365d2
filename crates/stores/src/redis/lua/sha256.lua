-- SHA-256 (FIPS 180-4) of a text. Scripts of Redis can do SHA-1 only.
local K = {
  0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
  0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
  0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
  0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
  0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
  0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
  0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
  0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
}

local function sha256(input)
  local band, bxor, ror, shift, word = bit.band, bit.bxor, bit.ror, bit.rshift, bit.tobit
  local size = #input
  input = input .. '\128' .. string.rep('\0', (55 - size) % 64) .. struct.pack('>I8', size * 8)
  local A, B, C, D = 0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a
  local E, F, G, H = 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19
  for block = 1, #input, 64 do
    local w = {struct.unpack('>I4I4I4I4I4I4I4I4I4I4I4I4I4I4I4I4', input, block)}
    for i = 17, 64 do
      local x, y = w[i - 15], w[i - 2]
      w[i] = word(w[i - 16] + w[i - 7] + bxor(ror(x, 7), ror(x, 18), shift(x, 3))
        + bxor(ror(y, 17), ror(y, 19), shift(y, 10)))
    end
    local a, b, c, d, e, f, g, h = A, B, C, D, E, F, G, H
    for i = 1, 64 do
      local t = h + bxor(ror(e, 6), ror(e, 11), ror(e, 25)) + bxor(g, band(e, bxor(f, g)))
        + K[i] + w[i]
      local u = bxor(ror(a, 2), ror(a, 13), ror(a, 22)) + bxor(band(a, b), band(c, bxor(a, b)))
      h, g, f, e, d, c, b, a = g, f, e, word(d + t), c, b, a, word(t + u)
    end
    A, B, C, D = word(A + a), word(B + b), word(C + c), word(D + d)
    E, F, G, H = word(E + e), word(F + f), word(G + g), word(H + h)
  end
  return struct.pack('>i4i4i4i4i4i4i4i4', A, B, C, D, E, F, G, H)
end
