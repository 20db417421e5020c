#!lua flags=allow-oom
-- Frees the hold of an attempt that spent nothing. A script, because it must not happen twice, nor after a
-- settlement.
--
-- KEYS[1] attempts of the attempt's start day   hash: attempt id -> record
-- KEYS[2], KEYS[3] what keys of balances, and of owners' holds, begin with
-- ARGV[1] attempt id   ARGV[2] start day
--
-- Returns 1, or 0 where the attempt is not held.

-- include: balances

local record = redis.call('HGET', KEYS[1], ARGV[1])
if not record or string.sub(record, 1, 2) ~= 'h\n' then
  return 0
end
end_hold(KEYS[2], KEYS[3], ARGV[2], ARGV[1], lines_of(record), nil, nil, nil)
redis.call('HDEL', KEYS[1], ARGV[1])
return 1
