#!lua
-- Claims a request id for a call, or says what became of it. A script, because of all who ask at once one must run.
--
-- KEYS[1] the claim           hash: print, state (running, answered, lost), token, owner, entry, cost
-- KEYS[2] the answer          string
-- KEYS[3] leases              sorted set: owner by the end of its lease, ms
--
-- ARGV[1] fingerprint of the request   ARGV[2] token of the call   ARGV[3] owner   ARGV[4] end of its lease, ms
-- ARGV[5] now, ms; '' where nobody can be told to be gone
-- ARGV[6] not after, by this server's clock, microseconds   ARGV[7] how long to remember, ms
-- ARGV[8] '1' where a call that may have spent may run again
--
-- Returns {'late'}, {'reused'}, {'running'}, {'lost'}, {'answered', entry, cost, answer or ''}, or
-- {'claimed', 1 where an earlier call may have spent, else 0}. Repeating it with the same token is safe.

local time = redis.call('TIME')
if tonumber(time[1]) * 1000000 + tonumber(time[2]) > tonumber(ARGV[6]) then
  return { 'late' }
end
local known = redis.call('HMGET', KEYS[1], 'print', 'state', 'token', 'owner', 'entry', 'cost')
local print, state, token = known[1], known[2], known[3]
if print and print ~= ARGV[1] then
  return { 'reused' }
end
if state == 'answered' then
  return { 'answered', known[5], known[6], redis.call('GET', KEYS[2]) or '' }
end
local lost = state == 'lost'
if state == 'running' and token ~= ARGV[2] then
  local ends = redis.call('ZSCORE', KEYS[3], known[4])
  if ARGV[5] == '' or (ends and tonumber(ends) > tonumber(ARGV[5])) then
    return { 'running' }
  end
  lost = true
end
if lost and ARGV[8] ~= '1' then
  return { 'lost' }
end
redis.call('HSET', KEYS[1], 'print', ARGV[1], 'state', 'running', 'token', ARGV[2], 'owner', ARGV[3])
redis.call('PEXPIRE', KEYS[1], ARGV[7])
redis.call('ZADD', KEYS[3], 'GT', ARGV[4], ARGV[3])
return { 'claimed', lost and 1 or 0 }
