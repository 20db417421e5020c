#!lua
-- Defines a budget, or defines it anew. A script, because the moment since which it counts stays as it is unless
-- what it counts changes, and because its version must rise with it.
--
-- KEYS[1] definitions (hash: id -> JSON)   KEYS[2] since when each counts (hash)   KEYS[3] version (string)
-- ARGV[1] id   ARGV[2] definition   ARGV[3] now, microseconds   ARGV[4] what it counts: its scope and window
--
-- KEYS[2] keeps "<since> <created> <what it counts>".

local since, created, shape
local kept = redis.call('HGET', KEYS[2], ARGV[1])
if kept then
  since, created, shape = string.match(kept, '^(%d+) (%d+) (.*)$')
end
if shape ~= ARGV[4] then
  since = ARGV[3]
end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
redis.call('HSET', KEYS[2], ARGV[1], since .. ' ' .. (created or ARGV[3]) .. ' ' .. ARGV[4])

-- include: raise_version
