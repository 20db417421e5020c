#!lua
-- Reads what was invalidated when, and keeps it for as long as somebody asks. A script, because where nothing is
-- known, everything may have been invalidated: then all that is stored is, by a new number that no entry has.
--
-- KEYS[1] epochs   hash: version, and scope -> the version in which it was invalidated; '*' is everything
-- ARGV[1] the version that the caller knows   ARGV[2] time to live, ms
--
-- Returns nothing where that is the version, else fields and values.

local version = redis.call('HGET', KEYS[1], 'version')
if not version then
  local time = redis.call('TIME')
  version = string.format('%.0f', tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000))
  redis.call('HSET', KEYS[1], 'version', version, '*', version)
end
redis.call('PEXPIRE', KEYS[1], ARGV[2])
if version == ARGV[1] then
  return {}
end
return redis.call('HGETALL', KEYS[1])
