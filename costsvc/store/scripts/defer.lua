#!lua
-- Takes a request into the queue of deferred ones, once per id. A script, because a request without its place in the
-- queue (or the reverse) must never be seen, and because only the server can say "once".
--
-- KEYS[1] the item       hash: print, state, bytes, ... as ARGV says
-- KEYS[2] the request    string
-- KEYS[3] the queue      sorted set: ids of what is not answered by its deadline, ms
-- KEYS[4] changes        sorted set: id by the number of its last change   KEYS[5] the last number
-- KEYS[6] how many bytes of requests the queue has
--
-- ARGV[1] id   ARGV[2] fingerprint of the request   ARGV[3] deadline, ms   ARGV[4] the request
-- ARGV[5], ARGV[6] how many requests, and how many bytes of them, the queue may have
-- ARGV[7...] more fields of the item and their values
--
-- Returns 'new', 'known', 'reused' (the id stands for another request), or 'full'.

local print = redis.call('HGET', KEYS[1], 'print')
if print then
  return print == ARGV[2] and 'known' or 'reused'
end
local size = #ARGV[4]
local bytes = tonumber(redis.call('GET', KEYS[6]) or '0')
if redis.call('ZCARD', KEYS[3]) >= tonumber(ARGV[5]) or bytes + size > tonumber(ARGV[6]) then
  return 'full'
end
redis.call('HSET', KEYS[1], 'print', ARGV[2], 'state', 'queued', 'bytes', size, unpack(ARGV, 7))
redis.call('SET', KEYS[2], ARGV[4])
redis.call('ZADD', KEYS[3], ARGV[3], ARGV[1])
redis.call('INCRBY', KEYS[6], size)
redis.call('ZADD', KEYS[4], redis.call('INCR', KEYS[5]), ARGV[1])
return 'new'
