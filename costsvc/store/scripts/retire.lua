#!lua flags=allow-oom
-- Removes the lease of an owner that is gone and holds nothing. A script, because it may come back in between.
--
-- KEYS[1] leases (sorted set)   KEYS[2] the owner's holds (set)
-- ARGV[1] owner   ARGV[2] ms: only where its lease ended before

local ends = redis.call('ZSCORE', KEYS[1], ARGV[1])
if ends and tonumber(ends) <= tonumber(ARGV[2]) and redis.call('EXISTS', KEYS[2]) == 0 then
  redis.call('ZREM', KEYS[1], ARGV[1])
end
