#!lua flags=allow-oom
-- Appends one entry and adds it to its rollup cells and budgets, once per attempt id. A script, because an entry
-- without its rollups (or the reverse) must never be seen, and because only the server can say "once".
--
-- A bill stands for good. A resolution, which people found out, ends a risk and gives way to a bill that comes all
-- the same: the caller makes the signed difference of the two, or takes the resolution back where the bill belongs
-- to other cells, and settles again.
--
-- KEYS[1] attempts of the attempt's start day   hash: attempt id -> place; other records begin with a letter
-- KEYS[2] entries of the hour                   list
-- KEYS[3] what keys of the tenant's rollups begin with; of an hour and of a day, each has a hash for dimensions
--   with few values and one, ':values' behind it, for capped ones: dimension=value -> packed measures
-- KEYS[4] distinct values of the day            hash: tenant:dimension -> count
-- KEYS[5] tenants   KEYS[6] hours   KEYS[7] days   sets
-- KEYS[8], KEYS[9] what keys of balances, and of owners' holds, begin with
-- KEYS[10] at risk (hash), KEYS[11] its index (sorted set), KEYS[12] its sums (hash)
-- KEYS[13] budgets with balances (set)   KEYS[14] what keys of their indexes begin with
-- KEYS[15] the queue of alerts (sorted set)
-- KEYS[16] version of the budgets' definitions
-- KEYS[17...] recorded requests, the day of the settlement first, then the other days to look at   hashes; may be absent
--
-- ARGV[1] attempt id        ARGV[2] entry id          ARGV[3] the entry, as bytes
-- ARGV[4] its measures, packed int64, little endian
-- ARGV[5] tenant            ARGV[6] hour              ARGV[7] start day
-- ARGV[8] day of the settlement, ARGV[9] the recorded request's field; '' without KEYS[17]
-- ARGV[10] the most distinct values a capped dimension may have in a day
-- ARGV[11] how many of the fields below are not capped
-- ARGV[12] cost   ARGV[13] how many charges follow
-- ARGV[14] 'bill', 'resolution', or, of a resolution, 'difference' or 'reversal'
-- ARGV[15] version of the definitions that the charges follow, '' for any
-- ARGV[16...] charges: what the cost counts against, with those that were held; then fields, dimension=value
--
-- Returns for a duplicate the place of the first: "<hour>:<index>:<entry id>", '' where there is none; for a bill
-- that meets a resolution {'resolved', its entry}; {'stale'} where the definitions have another version; for a new
-- entry nil.

-- include: balances
-- include: cells

local kind = ARGV[14]
local record = redis.call('HGET', KEYS[1], ARGV[1])
local state = record and string.match(record, '^%l')
local resolved = state == 'p' and lines_of(record)
local place = record and not state and record
for i = 17, #KEYS do
  place = place or redis.call('HGET', KEYS[i], ARGV[9])
end
if place then
  return place
end
local risk = redis.call('HGET', KEYS[10], ARGV[1])
if kind == 'bill' then
  if resolved then
    return { 'resolved', resolved[3] }
  end
elseif kind == 'resolution' then
  if not risk then
    return resolved and resolved[2] or ''
  end
elseif not resolved then
  return ''
end
if ARGV[15] ~= '' and ARGV[15] ~= (redis.call('GET', KEYS[16]) or '0') then
  return { 'stale' }
end

local counted, cost = {}, ARGV[12]
local charges = tonumber(ARGV[13])
if state == 'h' then
  local held = lines_of(record)
  end_hold(KEYS[8], KEYS[9], ARGV[7], ARGV[1], held, nil, cost, KEYS[15])
  for i = 7, #held do
    counted[held[i]] = true
  end
elseif risk then
  local lost = lines_of(risk)
  end_risk(KEYS[8], { KEYS[10], KEYS[11], KEYS[12] }, ARGV[1], lost, cost, KEYS[15])
  for i = 8, #lost do
    counted[lost[i]] = true
  end
elseif state == 'n' then
  local freed = lines_of(record)
  for i = 8, #freed do
    counted[freed[i]] = true
    change(KEYS[8], freed[i], nil, nil, nil, cost, KEYS[15])
  end
end
-- What was not held: a budget that was defined after the attempt began, or every one where the store lost the
-- record, or there is none. A balance that is still to be seeded gets the ledger's sum instead, with this entry in it.
for i = 16, 15 + charges do
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
    updates[2 * i - 1], updates[2 * i] = field, cells[i] and with_added(cells[i], ARGV[4], added) or ARGV[4]
  end
  if #updates > 0 then
    redis.call('HSET', key, unpack(updates))
  end
end

local few, many = {}, {}
for i, field in ipairs({ unpack(ARGV, 16 + charges) }) do
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
record = place
if kind == 'resolution' then
  record = 'p\n' .. place .. '\n' .. ARGV[3] .. '\n'
elseif kind == 'reversal' then
  record = 'n\n'
end
redis.call('HSET', KEYS[1], ARGV[1], record)
if redis.call('HLEN', KEYS[1]) == 1 then
  redis.call('SADD', KEYS[7], ARGV[7])
end
if #KEYS >= 17 then
  redis.call('HSET', KEYS[17], ARGV[9], place)
  redis.call('SADD', KEYS[7], ARGV[8])
end
