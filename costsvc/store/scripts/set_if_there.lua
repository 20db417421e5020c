#!lua flags=allow-oom
-- Sets fields of a hash that is there. A script, because another may remove it.
--
-- KEYS[1] the hash   ARGV[1...] fields and values
-- Returns 1, or 0 where there is none.

if redis.call('EXISTS', KEYS[1]) == 0 then
  return 0
end
redis.call('HSET', KEYS[1], unpack(ARGV))
return 1
