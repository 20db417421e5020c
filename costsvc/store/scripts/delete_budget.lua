#!lua
-- Removes a definition. A script, because its version must rise with it.
--
-- KEYS[1] definitions (hash: id -> JSON)   KEYS[2] since when each counts (hash)   KEYS[3] version (string)
-- ARGV[1] id
--
-- Returns 1, or 0 where there is none.

-- include: raise_version

redis.call('HDEL', KEYS[2], ARGV[1])
return redis.call('HDEL', KEYS[1], ARGV[1])
