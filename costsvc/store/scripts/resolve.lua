#!lua flags=allow-oom
-- Frees the risk of an attempt that is known not to have spent, and remembers that, with what a bill that comes all
-- the same counts against. A script, because a late settlement may free it too, and only one of them may.
--
-- KEYS[1] attempts of the attempt's start day   hash: attempt id -> record
-- KEYS[2] what keys of balances begin with
-- KEYS[3] at risk (hash), KEYS[4] its index (sorted set), KEYS[5] its sums (hash)
-- KEYS[6] days   set
-- ARGV[1] attempt id   ARGV[2] start day
--
-- Returns 1, or 0 where the attempt is not at risk.

-- include: balances

local risk = redis.call('HGET', KEYS[3], ARGV[1])
if not risk then
  return 0
end
end_risk(KEYS[2], { KEYS[3], KEYS[4], KEYS[5] }, ARGV[1], lines_of(risk), nil, nil)
redis.call('HSET', KEYS[1], ARGV[1], 'n' .. string.sub(risk, 2))
redis.call('SADD', KEYS[6], ARGV[2])
return 1
