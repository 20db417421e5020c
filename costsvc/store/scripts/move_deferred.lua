#!lua flags=allow-oom
-- Notes where a deferred request is now, if it still is where the caller thinks. A script, because a batch's results,
-- the leader of the queue and the caller who cancels may all come at once.
--
-- KEYS[1] the item (hash)   KEYS[2] changes (sorted set)   KEYS[3] the last change's number
-- ARGV[1] id
-- ARGV[2] the batch that it must be in, '*' for any   ARGV[3] the batch that it is in then, '*' for the same
-- ARGV[4] '1' where no batch may have been first to answer it   ARGV[5] who is first now: 'alone', '' or '*' for the same
-- ARGV[6...] pairs: the state that it may be in, and the state that it then goes into
--
-- Returns its new state, or '' where nothing changed.

local known = redis.call('HMGET', KEYS[1], 'state', 'batch', 'first')
local state, batch, first = known[1], known[2] or '', known[3] or ''
if (ARGV[2] ~= '*' and batch ~= ARGV[2]) or (ARGV[4] == '1' and first ~= '' and first ~= 'alone') then
  return ''
end
for i = 6, #ARGV, 2 do
  if state == ARGV[i] then
    redis.call('HSET', KEYS[1], 'state', ARGV[i + 1])
    if ARGV[3] ~= '*' then
      redis.call('HSET', KEYS[1], 'batch', ARGV[3])
    end
    if ARGV[5] ~= '*' then
      redis.call('HSET', KEYS[1], 'first', ARGV[5])
    end
    redis.call('ZADD', KEYS[2], redis.call('INCR', KEYS[3]), ARGV[1])
    return ARGV[i + 1]
  end
end
return ''
