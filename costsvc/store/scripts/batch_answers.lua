#!lua flags=allow-oom
-- Says whether a batch may count as what answers a deferred request, or whether it was sent alone, or in another batch,
-- before this one had an answer. A script, because both may happen at once; it stays as it was said first.
--
-- KEYS[1] the item (hash)   ARGV[1] the batch
--
-- Returns 1 where the batch counts, or 0. Of a request that is forgotten it does.

local first = redis.call('HGET', KEYS[1], 'first')
if first and first ~= '' then
  return first == ARGV[1] and 1 or 0
end
if redis.call('EXISTS', KEYS[1]) == 1 then
  redis.call('HSET', KEYS[1], 'first', ARGV[1])
end
return 1
