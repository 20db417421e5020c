-- What scripts that change cells of rollups share; it stands where a script says `-- include: cells`.
--
-- A cell is packed int64, little endian, one a measure. Measures are exact up to 2^63: what a double cannot hold is
-- added in halves. They are never turned into text.

local PACKINGS = {}

local function packing(count)
  PACKINGS[count] = PACKINGS[count] or '<' .. string.rep('i8', count)
  return PACKINGS[count]
end

-- Returns the measures of a cell.
local function unpacked(cell)
  local measures = { struct.unpack(packing(#cell / 8), cell) }
  measures[#cell / 8 + 1] = nil
  return measures
end

local function inexact(amount)
  return amount >= 9007199254740992 or amount <= -9007199254740992
end

-- Returns measure m of a cell, packed.
local function part(cell, m)
  return string.sub(cell, 8 * m - 7, 8 * m)
end

-- Adds two packed measures in halves of 32 bits.
local function exact_sum(a, b)
  local low_a, high_a = struct.unpack('<I4i4', a)
  local low_b, high_b = struct.unpack('<I4i4', b)
  local low, carry = low_a + low_b, 0
  if low >= 4294967296 then
    low, carry = low - 4294967296, 1
  end
  return struct.pack('<I4i4', low, high_a + high_b + carry)
end

-- Returns a cell with measures added (packed, and as numbers); it may have fewer of them, or more, which only newer
-- code knows.
local function with_added(cell, packed, added)
  local sums, large = unpacked(cell), {}
  local width = #sums
  for m = 1, #added do
    local before = sums[m] or 0
    sums[m] = before + added[m]
    if inexact(before) or inexact(added[m]) or inexact(sums[m]) then
      large[#large + 1], sums[m] = m, 0
    end
  end
  local sum = struct.pack(packing(#sums), unpack(sums))
  for _, m in ipairs(large) do
    local exact = m <= width and exact_sum(part(cell, m), part(packed, m)) or part(packed, m)
    sum = string.sub(sum, 1, 8 * m - 8) .. exact .. string.sub(sum, 8 * m + 1)
  end
  return sum
end
