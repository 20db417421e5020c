#!lua flags=allow-oom
-- Marks items of a batch's part as settled, adds them to its sums, and frees what was held for them, once an item. A
-- script, because of two that read the same results only one may free.
--
-- Its entries are booked before: until this has run they count beside what is held for them, and never less.
--
-- KEYS[1] the batch (hash)   KEYS[2] marks of the part (bitmap by item)
-- KEYS[3] attempts of the part's start day   hash: attempt id -> record
-- KEYS[4], KEYS[5] what keys of balances, and of owners' holds, begin with
-- KEYS[6] at risk (hash), KEYS[7] its sums (hash)
--
-- ARGV[1] what the part's fields begin with   ARGV[2] how far the results are read, bytes
-- ARGV[3] how many holds the part has, ARGV[4...] their ids
-- then for each item, 7: index, its hold, counted from 1, q, w, what it counts as, cost, cost by the standard API
--
-- Returns how many were not marked before.

-- include: balances

local prefix, holds = ARGV[1], tonumber(ARGV[3])
local freed_q, freed_w, marked = {}, {}, 0

local function add(name, amount)
  if amount ~= '0' then
    redis.call('HINCRBY', KEYS[1], prefix .. name, amount)
  end
end

for i = 4 + holds, #ARGV, 7 do
  if redis.call('SETBIT', KEYS[2], ARGV[i], 1) == 0 then
    local hold = tonumber(ARGV[i + 1])
    marked = marked + 1
    freed_q[hold] = (freed_q[hold] or 0) + tonumber(ARGV[i + 2])
    freed_w[hold] = (freed_w[hold] or 0) + tonumber(ARGV[i + 3])
    add(ARGV[i + 4], '1')
    add('cost', ARGV[i + 5])
    add('standard', ARGV[i + 6])
    add('freed', ARGV[i + 3])
  end
end

-- Returns what an amount goes down by, and what is left of it; never below nothing.
local function less(amount, by)
  local left = math.max(tonumber(amount) - by, 0)
  return string.format('%.0f', left - tonumber(amount)), string.format('%.0f', left)
end

for hold, w in pairs(freed_w) do
  local id = ARGV[3 + hold]
  local record = redis.call('HGET', KEYS[3], id)
  local risk = record == 'r' and redis.call('HGET', KEYS[6], id)
  if record and string.sub(record, 1, 2) == 'h\n' then
    local lines, dq, dw = lines_of(record), nil, nil
    dq, lines[4] = less(lines[4], freed_q[hold])
    dw, lines[5] = less(lines[5], w)
    for i = 7, #lines do
      change(KEYS[4], lines[i], dq, dw, nil, nil, nil)
    end
    redis.call('HSET', KEYS[3], id, table.concat(lines, '\n') .. '\n')
  elseif risk then
    local lines, dw = lines_of(risk), nil
    dw, lines[5] = less(lines[5], w)
    for i = 8, #lines do
      change(KEYS[4], lines[i], nil, nil, dw, nil, nil)
    end
    redis.call('HINCRBY', KEYS[7], lines[3] .. ':upper', dw)
    redis.call('HSET', KEYS[6], id, table.concat(lines, '\n') .. '\n')
  end
end
local read = redis.call('HGET', KEYS[1], prefix .. 'read')
if not read or tonumber(read) < tonumber(ARGV[2]) then
  redis.call('HSET', KEYS[1], prefix .. 'read', ARGV[2])
end
return marked
