#!lua
-- Gives a balance what was spent before its budget was defined. A script, because it must happen once, and not
-- over a settlement, or another definition, that came in between, however late this is run.
--
-- KEYS[1] the balance (hash)   KEYS[2] since when each definition counts (hash)
-- KEYS[3] the index of its budget's balances (sorted set)   KEYS[4] budgets with balances (set)
-- KEYS[5] the queue of alerts (sorted set)   KEYS[6] version of the definitions (string)
-- ARGV[1] budget id   ARGV[2] its `spent` when the ledger was read, '' for none   ARGV[3] the sum
-- ARGV[4] bucket of now, or ''   ARGV[5] member of the index   ARGV[6] its score
-- ARGV[7] limit and thresholds   ARGV[8] version of the definitions when the ledger was read
-- ARGV[9...] of a rolling window: bucket, amount, ...
--
-- Returns 1, or 0 where something changed in between.

-- include: balances

local since = redis.call('HGET', KEYS[2], ARGV[1])
if ARGV[8] ~= (redis.call('GET', KEYS[6]) or '0') then
  return 0
end
if not since or (redis.call('HGET', KEYS[1], 'spent') or '') ~= ARGV[2] then
  return 0
end
since = string.match(since, '^%d+')
if redis.call('HGET', KEYS[1], 'seeded') == since then
  return 0
end
if ARGV[4] ~= '' then
  local oldest = tonumber(ARGV[4]) - BUCKETS
  expire(KEYS[1], tonumber(redis.call('HGET', KEYS[1], 'floor') or oldest), oldest)
  redis.call('HSETNX', KEYS[1], 'floor', string.format('%.0f', oldest))
  for n = oldest, oldest + BUCKETS do
    local name, base = string.format('s%.0f', n), string.format('b%.0f', n)
    local counted = redis.call('HGET', KEYS[1], name)
    if counted then
      redis.call('HINCRBY', KEYS[1], base, negated(counted))
      redis.call('HDEL', KEYS[1], name)
    end
  end
  for i = 9, #ARGV, 2 do
    redis.call('HSET', KEYS[1], 's' .. ARGV[i], ARGV[i + 1])
    redis.call('HINCRBY', KEYS[1], 'b' .. ARGV[i], ARGV[i + 1])
  end
else
  redis.call('HINCRBY', KEYS[1], 'base', ARGV[3])
  redis.call('HINCRBY', KEYS[1], 'base', negated(ARGV[2] == '' and '0' or ARGV[2]))
end
redis.call('HSET', KEYS[1], 'spent', ARGV[3], 'seeded', since)
redis.call('ZADD', KEYS[3], 'GT', ARGV[6], ARGV[5])
redis.call('SADD', KEYS[4], ARGV[1])
local place = { budget = ARGV[1], member = ARGV[5], bucket = ARGV[4], ends = ARGV[6] }
cross(KEYS[5], KEYS[1], place, ARGV[7], false)
return 1
