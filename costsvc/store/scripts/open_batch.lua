#!lua
-- Records a batch, once a request id of the caller's. A script, because of two that say the same id one is first.
--
-- KEYS[1] the batch (hash)   KEYS[2] the tenant's batches (sorted set, all of score 0)
-- KEYS[3] batches that have not ended (set)   KEYS[4] ids of the callers' (hash: request id -> batch), may be absent
-- ARGV[1] batch id   ARGV[2] its member of the set   ARGV[3] the request id, or ''
-- ARGV[4...] fields and values of the batch
--
-- Returns '' or the id of the batch that has the request id already.

if ARGV[3] ~= '' then
  local known = redis.call('HGET', KEYS[4], ARGV[3])
  if known and known ~= ARGV[1] then
    return known
  end
  redis.call('HSET', KEYS[4], ARGV[3], ARGV[1])
end
redis.call('HSET', KEYS[1], unpack(ARGV, 4))
redis.call('ZADD', KEYS[2], 0, ARGV[1])
redis.call('SADD', KEYS[3], ARGV[2])
return ''
