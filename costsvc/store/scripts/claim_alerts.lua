#!lua flags=allow-oom
-- Claims alerts that are due: until the claim's end nobody else gets them. A script, because two processes must not
-- claim the same, and because only the server's clock is the same for both.
--
-- KEYS[1] the queue of alerts (sorted set)
-- ARGV[1] how many at most   ARGV[2] how long the claim lasts, ms
--
-- Returns the alerts, oldest first.

local time = redis.call('TIME')
local now_ms = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local due = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', string.format('%.0f', now_ms), 'LIMIT', 0, ARGV[1])
for _, alert in ipairs(due) do
  redis.call('ZADD', KEYS[1], string.format('%.0f', now_ms + tonumber(ARGV[2])), alert)
end
return due
