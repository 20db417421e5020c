#!lua
-- Renews a lead or gives it up, unless another leads by now. A script, because a lead may end between look and
-- change.
--
-- KEYS[1] who leads   string
-- ARGV[1] token of the leader   ARGV[2] how long it leads from now on, ms; '0' gives up
--
-- Returns 1 where it still led, else 0.

if redis.call('GET', KEYS[1]) ~= ARGV[1] then
  return 0
end
if ARGV[2] == '0' then
  redis.call('DEL', KEYS[1])
else
  redis.call('PEXPIRE', KEYS[1], ARGV[2])
end
return 1
