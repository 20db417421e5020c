#!lua flags=allow-oom
-- Says that days before one have no rollups of hours any more. A script, because it never goes back: hours that were
-- removed do not come again.
--
-- KEYS[1] since when there are hours (string: a day)
-- ARGV[1] day

if ARGV[1] > (redis.call('GET', KEYS[1]) or '') then
  redis.call('SET', KEYS[1], ARGV[1])
end
