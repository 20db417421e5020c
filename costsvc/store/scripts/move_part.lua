#!lua flags=allow-oom
-- Changes parts of a batch, where the first is as the caller knows it. A script, because several processes look after a
-- part, and each goes by what it has read.
--
-- KEYS[1] the batch (hash); a part is "<version>\n<the rest>"
-- ARGV[1] field   ARGV[2] version that it has to have   ARGV[3...] fields and values
--
-- Returns 1, or 0 where it has another version, or is no more.

local part = redis.call('HGET', KEYS[1], ARGV[1])
if not part or string.match(part, '^%d+') ~= ARGV[2] then
  return 0
end
redis.call('HSET', KEYS[1], unpack(ARGV, 3))
return 1
