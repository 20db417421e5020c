#!lua flags=allow-oom
-- Takes, renews or gives back the lease of a job that one process does at a time. A script, because two may ask at
-- once.
--
-- KEYS[1] the lease   string: "<end, ms> <owner>"
-- ARGV[1] owner   ARGV[2] now, ms   ARGV[3] the end that it is to have, ms; 0 gives it back
--
-- Returns 1 where the owner had it, or has it now.

local kept = redis.call('GET', KEYS[1])
if kept then
  local ends, owner = string.match(kept, '^(%d+) (.*)$')
  if owner ~= ARGV[1] and tonumber(ends) > tonumber(ARGV[2]) then
    return 0
  end
end
if ARGV[3] == '0' then
  redis.call('DEL', KEYS[1])
else
  redis.call('SET', KEYS[1], ARGV[3] .. ' ' .. ARGV[1])
end
return 1
