#!lua flags=allow-oom
-- Takes the oldest entries of an hour out of the store, once they are in an archive, and keeps what they add up to. A
-- script, because they must be in the one or in the other, and each once.
--
-- KEYS[1] entries of the hour (list)   KEYS[2] how many of each hour are sealed (hash)
-- KEYS[3] what keys of balances begin with
-- KEYS[4...] checkpoints (hashes: dimension=value -> packed measures)
--
-- ARGV[1] hour   ARGV[2] how many were sealed of it so far   ARGV[3] how many are to be
-- ARGV[4] how many charges follow
-- ARGV[5...] charge, cost, ...; then which of KEYS[4...], from 1 on, cell, packed measures, ...
--
-- Returns 1, or 0 where another process sealed meanwhile.

-- include: cells

if (redis.call('HGET', KEYS[2], ARGV[1]) or '0') ~= ARGV[2] then
  return 0
end
if redis.call('LLEN', KEYS[1]) < tonumber(ARGV[3]) then
  return 0
end

local cells_from = 5 + 2 * tonumber(ARGV[4])
for i = 5, cells_from - 1, 2 do
  local budget, window, bucket, _, instance = string.match(ARGV[i], '^([^:]*):([^:]*):([^:]*):([^:]*):(.*)$')
  local key = KEYS[3] .. budget .. ':' .. window .. ':' .. instance
  if bucket == '' then
    if redis.call('EXISTS', key) == 1 then
      redis.call('HINCRBY', key, 'base', ARGV[i + 1])
    end
  else
    local floor = redis.call('HGET', key, 'floor')
    if floor and tonumber(bucket) >= tonumber(floor) then
      redis.call('HINCRBY', key, 'b' .. bucket, ARGV[i + 1])
    end
  end
end

for i = cells_from, #ARGV, 3 do
  local key, field, packed = KEYS[3 + tonumber(ARGV[i])], ARGV[i + 1], ARGV[i + 2]
  local cell = redis.call('HGET', key, field)
  redis.call('HSET', key, field, cell and with_added(cell, packed, unpacked(packed)) or packed)
end

redis.call('LTRIM', KEYS[1], ARGV[3], -1)
redis.call('HINCRBY', KEYS[2], ARGV[1], ARGV[3])
return 1
