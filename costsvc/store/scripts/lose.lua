#!lua flags=allow-oom
-- Books a held attempt as at risk: nobody knows what it spent. A script, because the hold must become the risk
-- in one step, and only where the attempt is not settled.
--
-- KEYS[1] attempts of the attempt's start day   hash: attempt id -> record
-- KEYS[2], KEYS[3] what keys of balances, and of owners' holds, begin with
-- KEYS[4] at risk (hash), KEYS[5] its index (sorted set), KEYS[6] its sums (hash)
-- KEYS[7] leases   KEYS[8] days   KEYS[9] budgets with balances   KEYS[10] what keys of indexes begin with
-- KEYS[11] the queue of alerts (sorted set)
--
-- ARGV[1] attempt id   ARGV[2] start day   ARGV[3] lower bound   ARGV[4] reason
-- ARGV[5] '' or ms: only where the lease of the attempt's owner ended before
-- ARGV[6] '' or the record to go by where there is none   ARGV[7] upper bound, '' for the hold's
--
-- Returns 1, or 0 where nothing was to be done.

-- include: balances

local kept = redis.call('HGET', KEYS[1], ARGV[1])
if kept and string.sub(kept, 1, 2) ~= 'h\n' then
  return 0
end
if not kept and (ARGV[6] == '' or redis.call('HEXISTS', KEYS[4], ARGV[1]) == 1) then
  return 0
end
local record = lines_of(kept or ARGV[6])
if ARGV[5] ~= '' then
  local ends = redis.call('ZSCORE', KEYS[7], record[2])
  if ends and tonumber(ends) > tonumber(ARGV[5]) then
    return 0
  end
end

local tenant, upper = record[3], ARGV[7] ~= '' and ARGV[7] or record[5]
if kept then
  end_hold(KEYS[2], KEYS[3], ARGV[2], ARGV[1], record, upper, nil, KEYS[11])
else
  for i = 7, #record do
    create(KEYS[2], KEYS[10], KEYS[9], record[i])
    change(KEYS[2], record[i], nil, nil, upper, nil, KEYS[11])
  end
  redis.call('SADD', KEYS[8], ARGV[2])
end
local time = redis.call('TIME')
local since = string.format('%016.0f', tonumber(time[1]) * 1000000 + tonumber(time[2]))
local member = tenant .. ':' .. since .. ':' .. ARGV[1]
local risk = { 'r', member, tenant, ARGV[3], upper, ARGV[4] }
for i = 6, #record do
  risk[#risk + 1] = record[i]
end
redis.call('HSET', KEYS[1], ARGV[1], 'r')
redis.call('HSET', KEYS[4], ARGV[1], table.concat(risk, '\n') .. '\n')
redis.call('ZADD', KEYS[5], 0, member)
redis.call('HINCRBY', KEYS[6], tenant .. ':count', 1)
redis.call('HINCRBY', KEYS[6], tenant .. ':lower', ARGV[3])
redis.call('HINCRBY', KEYS[6], tenant .. ':upper', upper)
return 1
