#!lua flags=allow-oom
-- Renews the lease of an owner. A script, because a store whose memory is full must know who lives, too.
--
-- KEYS[1] leases (sorted set)
-- ARGV[1] end of its lease, ms   ARGV[2] owner

redis.call('ZADD', KEYS[1], 'GT', ARGV[1], ARGV[2])
