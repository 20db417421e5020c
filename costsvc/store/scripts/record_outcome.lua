#!lua
-- Takes in what is known of the quality of one prompt's answers. A script, because what several callers know of one
-- prompt is merged, and because nothing else must drop the oldest.
--
-- KEYS[1] outcomes   hash: response id -> <simple>,<medium>,<complex>;<record>, each `<score> <model>` or empty
-- KEYS[2] order      sorted set: response id by when it was last told of, ms
-- KEYS[3] complete   set: response ids of which every tier is known
--
-- ARGV[1] response id   ARGV[2] now, ms   ARGV[3] the most outcomes   ARGV[4] how long to keep them, ms
-- ARGV[5] record   ARGV[6..8] what is told of each tier, lowest first; '' is nothing
--
-- Returns {outcomes, complete outcomes}. Repeating it is safe; what is told last of a tier stands.

local id, told = ARGV[1], { ARGV[6], ARGV[7], ARGV[8] }
local known = redis.call('HGET', KEYS[1], id)
local before = { '', '', '' }
if known then
  before = { string.match(known, '^([^,;]*),([^,;]*),([^,;]*);') }
end
local complete = true
for tier = 1, 3 do
  if told[tier] == '' then
    told[tier] = before[tier] or ''
  end
  complete = complete and told[tier] ~= ''
end
redis.call('HSET', KEYS[1], id, table.concat(told, ',') .. ';' .. ARGV[5])
redis.call('ZADD', KEYS[2], ARGV[2], id)
if complete then
  redis.call('SADD', KEYS[3], id)
end
local over = redis.call('ZCARD', KEYS[2]) - tonumber(ARGV[3])
if over > 0 then
  for _, oldest in ipairs(redis.call('ZRANGE', KEYS[2], 0, over - 1)) do
    redis.call('ZREM', KEYS[2], oldest)
    redis.call('HDEL', KEYS[1], oldest)
    redis.call('SREM', KEYS[3], oldest)
  end
end
for _, key in ipairs(KEYS) do
  redis.call('PEXPIRE', key, ARGV[4])
end
return { redis.call('HLEN', KEYS[1]), redis.call('SCARD', KEYS[3]) }
