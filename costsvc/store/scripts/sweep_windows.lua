#!lua flags=allow-oom
-- Removes balances of windows that ended long ago. A script, because a rolling window may begin to count again.
--
-- KEYS[1] the index of a budget's balances (sorted set)   KEYS[2] what keys of balances begin with
-- ARGV[1] budget id   ARGV[2] before, s   ARGV[3] how many at most
--
-- Returns how many it removed.

local members = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', '(' .. ARGV[2], 'LIMIT', 0, ARGV[3])
for _, member in ipairs(members) do
  redis.call('UNLINK', KEYS[2] .. ARGV[1] .. ':' .. member)
  redis.call('ZREM', KEYS[1], member)
end
return #members
