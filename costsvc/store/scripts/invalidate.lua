#!lua
-- Invalidates a scope of the response cache, whatever is in it, by one new number. A script, because numbers only
-- rise. Versions are this server's milliseconds since 1970, so that one which lost its data repeats none.
--
-- KEYS[1] epochs   hash, as in epochs.lua
-- ARGV[1] scope   ARGV[2] time to live, ms   ARGV[3] the most scopes that are told apart
--
-- Returns the new version. Beyond the most scopes, everything is invalidated.

local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local before = redis.call('HGET', KEYS[1], 'version')
local version = string.format('%.0f', math.max(now, tonumber(before or '0') + 1))
if not before or redis.call('HLEN', KEYS[1]) > tonumber(ARGV[3]) then
  redis.call('DEL', KEYS[1])
  redis.call('HSET', KEYS[1], '*', version)
end
redis.call('HSET', KEYS[1], 'version', version, ARGV[1], version)
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return version
