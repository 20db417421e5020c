#!lua flags=allow-oom
-- Takes a claimed alert out of the queue, or puts it back as it is now, due later. A script, because another process
-- may have claimed it meanwhile, and what that has taken out must stay out.
--
-- KEYS[1] the queue of alerts (sorted set)
-- ARGV[1] the alert as it was claimed   ARGV[2] as it is now, '' to take it out   ARGV[3] when it is due: in ms
--
-- Returns 1, or 0 where it is not in the queue.

if redis.call('ZREM', KEYS[1], ARGV[1]) == 0 then
  return 0
end
if ARGV[2] ~= '' then
  local time = redis.call('TIME')
  local now_ms = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
  redis.call('ZADD', KEYS[1], string.format('%.0f', now_ms + tonumber(ARGV[3])), ARGV[2])
end
return 1
