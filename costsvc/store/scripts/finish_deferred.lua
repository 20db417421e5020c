#!lua flags=allow-oom
-- Ends a deferred request: answered, failed or canceled, once. A script, because a batch and a call of its own may
-- both answer it.
--
-- KEYS[1] the item (hash)   KEYS[2] the request   KEYS[3] its answer, or why there is none   strings
-- KEYS[4] the queue (sorted set)   KEYS[5] changes (sorted set)   KEYS[6] the last change's number
-- KEYS[7] how many bytes of requests the queue has   KEYS[8] the queue of webhooks (sorted set)
-- ARGV[1] id   ARGV[2] its state   ARGV[3] when, microseconds   ARGV[4] the answer   ARGV[5] how long to keep all, ms
--
-- Returns the state that it was in, or '' where it has ended before.

if redis.call('ZREM', KEYS[4], ARGV[1]) == 0 then
  return ''
end
local known = redis.call('HMGET', KEYS[1], 'state', 'bytes', 'webhook')
redis.call('HSET', KEYS[1], 'state', ARGV[2], 'ended', ARGV[3])
redis.call('PEXPIRE', KEYS[1], ARGV[5])
redis.call('DEL', KEYS[2])
redis.call('DECRBY', KEYS[7], known[2] or '0')
if ARGV[4] ~= '' then
  redis.call('SET', KEYS[3], ARGV[4], 'PX', ARGV[5])
end
if known[3] and known[3] ~= '' then
  redis.call('ZADD', KEYS[8], 0, '0\n' .. ARGV[1])
end
redis.call('ZADD', KEYS[5], redis.call('INCR', KEYS[6]), ARGV[1])
return known[1] or ''
