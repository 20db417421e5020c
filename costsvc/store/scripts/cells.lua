-- What scripts that change cells of rollups share; it stands where a script says `-- include: cells`.
--
-- A cell is packed int64, little endian, one a measure. Measures are exact while they stay below 2^53; they are
-- never turned into text.

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

-- Returns a cell with measures added; it may have fewer of them, or more, which only newer code knows.
local function with_added(cell, added)
  local sums = unpacked(cell)
  for m = 1, #added do
    sums[m] = (sums[m] or 0) + added[m]
  end
  return struct.pack(packing(#sums), unpack(sums))
end
