-- Raises KEYS[3], the version of the definitions; it stands where a script says `-- include: raise_version`. By the
-- clock, so that a store that lost its last changes never gives one of their versions to other definitions.

local time = redis.call('TIME')
local version = tonumber(time[1]) * 1000000 + tonumber(time[2])
local last = tonumber(redis.call('GET', KEYS[3]) or '0')
redis.call('SET', KEYS[3], string.format('%.0f', math.max(version, last + 1)))
