#!lua
-- Adds rows of integers to a tenant's day of the prompt cache. A script, because whether a row is new decides under
-- which name it counts, and replicas add at the same time. Nothing here is money that is owed: a repetition, which does
-- not happen, would count twice.
--
-- KEYS[1] a hash: `<kind>|<word>|...|<number of the sum>` -> integer, `first` -> when it began, s; with a time to live
-- ARGV[1] most fields   ARGV[2] time to live, s   ARGV[3] now, s
-- then for each row: its name, `<kind>|<word>|...`, what it is called when there is no room, how many sums, the sums
--
-- Sums go through the server as the texts that they came as.

local key, most = KEYS[1], tonumber(ARGV[1])
redis.call('HSETNX', key, 'first', ARGV[3])
redis.call('EXPIRE', key, ARGV[2])
local at = 4
while at <= #ARGV do
  local name, other, count = ARGV[at], ARGV[at + 1], tonumber(ARGV[at + 2])
  if redis.call('HEXISTS', key, name .. '|1') == 0 and redis.call('HLEN', key) + count > most then
    name = other
  end
  for number = 1, count do
    redis.call('HINCRBY', key, name .. '|' .. number, ARGV[at + 2 + number])
  end
  at = at + 3 + count
end
return redis.call('HLEN', key)
