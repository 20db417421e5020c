#!lua flags=no-writes
-- Returns the records of all attempts that are held. A script, because between an owner's holds and their records
-- some would end.
--
-- KEYS[1] leases (sorted set)
-- KEYS[2], KEYS[3] what keys of owners' holds (sets), and of attempts by day (hashes), begin with

local records = {}
for _, owner in ipairs(redis.call('ZRANGE', KEYS[1], 0, -1)) do
  for _, member in ipairs(redis.call('SMEMBERS', KEYS[2] .. owner)) do
    local day, attempt = string.match(member, '^(%d+):(.*)$')
    local record = redis.call('HGET', KEYS[3] .. day, attempt)
    if record then
      records[#records + 1] = record
    end
  end
end
return records
