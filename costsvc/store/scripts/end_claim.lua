#!lua flags=allow-oom
-- Ends a claim: its call was answered, spent nothing, or may have spent without an answer. A script, because the
-- claim may be another call's by now, and an answer is never taken back.
--
-- KEYS[1] the claim (hash)   KEYS[2] the answer (string)
-- ARGV[1] token of the call   ARGV[2] fingerprint of the request   ARGV[3] 'answered', 'free' or 'lost'
-- ARGV[4] how long to remember, ms
-- ARGV[5] entry   ARGV[6] cost   ARGV[7] the answer, '' to keep none   ARGV[8] how long to keep it, ms
--
-- Returns 1, or 0 where there was nothing to end. A claim that the store never saw is answered or lost all the same.

local known = redis.call('HMGET', KEYS[1], 'state', 'token')
if known[1] == 'answered' or (known[2] and known[2] ~= ARGV[1]) then
  return 0
end
redis.call('DEL', KEYS[1], KEYS[2])  -- an answer may be left of a claim that a server short of memory has evicted
if ARGV[3] == 'free' then
  return 1
end
redis.call('HSET', KEYS[1], 'print', ARGV[2], 'state', ARGV[3])
if ARGV[3] == 'answered' then
  redis.call('HSET', KEYS[1], 'entry', ARGV[5], 'cost', ARGV[6])
  if ARGV[7] ~= '' then
    redis.call('SET', KEYS[2], ARGV[7], 'PX', ARGV[8])
  end
else
  redis.call('HSET', KEYS[1], 'token', ARGV[1])
end
redis.call('PEXPIRE', KEYS[1], ARGV[4])
return 1
