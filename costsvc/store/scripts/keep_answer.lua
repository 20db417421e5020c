#!lua
-- Stores an answer and gives up the lead, so that nobody sees neither. Repeating it is safe.
--
-- KEYS[1] the answer   KEYS[2] who leads   strings
-- ARGV[1] token of the leader   ARGV[2] the answer   ARGV[3] its time to live, ms

redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
if redis.call('GET', KEYS[2]) == ARGV[1] then
  redis.call('DEL', KEYS[2])
end
return 1
