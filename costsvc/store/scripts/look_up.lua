#!lua
-- Reads a stored answer, and where there is none, lets one caller of many lead: it asks the provider, the others
-- wait. A script, because between the look and the lead no other may lead.
--
-- KEYS[1] the answer   KEYS[2] who leads   strings, both with a time to live
-- ARGV[1] token of the caller, '' for one that does not lead   ARGV[2] how long it leads, ms
-- ARGV[3] '1' where a stored answer will not do
--
-- Returns {'found', answer}, {'lead'}, {'follow'}, or, for one that does not lead, {'none'} where nobody does.

local answer = ARGV[3] ~= '1' and redis.call('GET', KEYS[1])
if answer then
  return { 'found', answer }
end
local leader = redis.call('GET', KEYS[2])
if leader and leader ~= ARGV[1] then
  return { 'follow' }
end
if ARGV[1] == '' then
  return { 'none' }
end
redis.call('SET', KEYS[2], ARGV[1], 'PX', ARGV[2])
return { 'lead' }
