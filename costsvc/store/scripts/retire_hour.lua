#!lua flags=allow-oom
-- Takes an hour off the list of those to seal. A script, because an entry may come late and put it there again.
--
-- KEYS[1] entries of the hour (list)   KEYS[2] hours (set)
-- ARGV[1] hour
--
-- Returns 1, or 0 where it has entries.

if redis.call('EXISTS', KEYS[1]) == 1 then
  return 0
end
redis.call('SREM', KEYS[2], ARGV[1])
return 1
