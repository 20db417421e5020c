#!lua flags=allow-oom
-- Appends one entry and adds it to its rollup cells and budgets, once per attempt id. A script, because an entry
-- without its rollups (or the reverse) must never be seen, and because only the server can say "once".
--
-- KEYS[1] attempts of the attempt's start day   hash: attempt id -> place
-- KEYS[2] entries of the hour                   list
-- KEYS[3] what keys of the tenant's rollups begin with; of an hour and of a day, each has a hash for dimensions
--   with few values and one, ':values' behind it, for capped ones: dimension=value -> packed measures
-- KEYS[4] distinct values of the day            hash: tenant:dimension -> count
-- KEYS[5] tenants   KEYS[6] hours   KEYS[7] days   sets
-- KEYS[8], KEYS[9] what keys of balances, and of owners' holds, begin with
-- KEYS[10] at risk (hash), KEYS[11] its index (sorted set), KEYS[12] its sums (hash)
-- KEYS[13] budgets with balances (set)   KEYS[14] what keys of their indexes begin with
-- KEYS[15] the queue of alerts (sorted set)
-- KEYS[16...] recorded requests, the day of the settlement first, then the other days to look at   hashes; may be absent
--
-- ARGV[1] attempt id        ARGV[2] entry id          ARGV[3] the entry, as bytes
-- ARGV[4] its measures, packed int64, little endian
-- ARGV[5] tenant            ARGV[6] hour              ARGV[7] start day
-- ARGV[8] day of the settlement, ARGV[9] the recorded request's field; '' without KEYS[16]
-- ARGV[10] the most distinct values a capped dimension may have in a day
-- ARGV[11] how many of the fields below are not capped
-- ARGV[12] cost   ARGV[13] how many charges follow
-- ARGV[14...] charges: what the cost counts against, with those that were held; then fields, dimension=value
--
-- Returns for a duplicate the place of the first: "<hour>:<index>:<entry id>"; for a new entry nil.

-- include: balances
-- include: cells

local record = redis.call('HGET', KEYS[1], ARGV[1])
local place = record and string.find(record, '^%d') and record
for i = 16, #KEYS do
  place = place or redis.call('HGET', KEYS[i], ARGV[9])
end
if place then
  return place
end

local counted, cost = {}, ARGV[12]
local charges = tonumber(ARGV[13])
if record and string.sub(record, 1, 2) == 'h\n' then
  local held = lines_of(record)
  end_hold(KEYS[8], KEYS[9], ARGV[7], ARGV[1], held, nil, cost, KEYS[15])
  for i = 7, #held do
    counted[held[i]] = true
  end
else
  local risk = redis.call('HGET', KEYS[10], ARGV[1])
  if risk then
    local lost = lines_of(risk)
    end_risk(KEYS[8], { KEYS[10], KEYS[11], KEYS[12] }, ARGV[1], lost, cost, KEYS[15])
    for i = 8, #lost do
      counted[lost[i]] = true
    end
  end
end
-- What was not held: a budget that was defined after the attempt began, or every one where the store lost the
-- record. A balance that is still to be seeded gets the ledger's sum instead, with this entry in it.
for i = 14, 13 + charges do
  if not counted[ARGV[i]] then
    create(KEYS[8], KEYS[14], KEYS[13], ARGV[i])
    change(KEYS[8], ARGV[i], nil, nil, nil, cost, KEYS[15])
  end
end

local tenant = ARGV[5]
local cap = tonumber(ARGV[10])

-- Beyond the cap a value counts as `_other`, so that no caller can grow a report without bound. Asked only for a
-- value that is new in its day.
local function let_in(field)
  local dimension = string.sub(field, 1, string.find(field, '=', 1, true) - 1)
  local counter = tenant .. ':' .. dimension
  if tonumber(redis.call('HGET', KEYS[4], counter) or '0') >= cap then
    return dimension .. '=_other'
  end
  if redis.call('HINCRBY', KEYS[4], counter, 1) == 1 then
    redis.call('SADD', KEYS[7], ARGV[7])
  end
  return field
end

local added = unpacked(ARGV[4])

local function read(key, fields)
  return #fields > 0 and redis.call('HMGET', key, unpack(fields)) or {}
end

-- Adds the measures to cells that are at hand.
local function add(key, fields, cells)
  local updates = {}
  for i, field in ipairs(fields) do
    updates[2 * i - 1], updates[2 * i] = field, cells[i] and with_added(cells[i], added) or ARGV[4]
  end
  if #updates > 0 then
    redis.call('HSET', key, unpack(updates))
  end
end

local few, many = {}, {}
for i, field in ipairs({ unpack(ARGV, 14 + charges) }) do
  local fields = i <= tonumber(ARGV[11]) and few or many
  fields[#fields + 1] = field
end
local hour, day = KEYS[3] .. ARGV[6], KEYS[3] .. ARGV[7]
local cells = read(day .. ':values', many)
for i, field in ipairs(many) do
  if not cells[i] then
    many[i] = let_in(field)
    cells[i] = many[i] ~= field and redis.call('HGET', day .. ':values', many[i])
  end
end
add(day .. ':values', many, cells)
add(hour .. ':values', many, read(hour .. ':values', many))
cells = read(day, few)
add(day, few, cells)
add(hour, few, read(hour, few))
if not cells[1] then
  redis.call('SADD', KEYS[5], tenant)
end

local length = redis.call('RPUSH', KEYS[2], ARGV[3])
if length == 1 then
  redis.call('SADD', KEYS[6], ARGV[6])
end
place = ARGV[6] .. ':' .. string.format('%.0f', length - 1) .. ':' .. ARGV[2]
redis.call('HSET', KEYS[1], ARGV[1], place)
if redis.call('HLEN', KEYS[1]) == 1 then
  redis.call('SADD', KEYS[7], ARGV[7])
end
if #KEYS >= 16 then
  redis.call('HSET', KEYS[16], ARGV[9], place)
  redis.call('SADD', KEYS[7], ARGV[8])
end
