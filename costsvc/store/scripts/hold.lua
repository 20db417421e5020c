#!lua
-- Holds q and w of an attempt on every budget that applies, or on none, and records the attempt. A script,
-- because between a check and a hold no other call may pass.
--
-- KEYS[1] attempts of the attempt's start day    hash: attempt id -> record
-- KEYS[2] version of the definitions             string
-- KEYS[3] since when each definition counts      hash: budget id -> "<microseconds> ..."
-- KEYS[4] days   KEYS[5] budgets with balances   sets
-- KEYS[6] the owner's holds                      set: day:attempt id
-- KEYS[7] leases                                 sorted set: owner by the end of its lease, ms
-- KEYS[8] the queue of alerts                    sorted set
-- KEYS[9...] for each application: its balance (hash), and the index of its budget's balances (sorted set)
--
-- ARGV[1] attempt id   ARGV[2] version, '' for any   ARGV[3] not after, by this server's clock, microseconds
-- ARGV[4] q   ARGV[5] w   ARGV[6] owner   ARGV[7] end of its lease, ms   ARGV[8] start day   ARGV[9] the record
-- ARGV[10...] for each application, 9: budget id, what refuses (1) or not (0), limit, bound of the worst case,
--   limit and thresholds, start of the window in microseconds, bucket or '', member of the index, its score
--
-- Returns {'late'}, {'ended'}, {'stale'}, {'unseeded', indexes}, {'held', full}, or
-- {'refused', index, spent, at_risk, q, w}; full: indexes of budgets without room that let by; indexes begin at 0.

-- include: balances

local time = redis.call('TIME')
if tonumber(time[1]) * 1000000 + tonumber(time[2]) > tonumber(ARGV[3]) then
  return { 'late' }
end
local record = redis.call('HGET', KEYS[1], ARGV[1])
if record then
  return string.sub(record, 1, 2) == 'h\n' and { 'held', {} } or { 'ended' }
end
if ARGV[2] ~= '' and ARGV[2] ~= (redis.call('GET', KEYS[2]) or '0') then
  return { 'stale' }
end

local applications = (#KEYS - 8) / 2
local since = {}
if applications > 0 then
  local ids = {}
  for i = 1, applications do
    ids[i] = ARGV[1 + 9 * i]
  end
  since = redis.call('HMGET', KEYS[3], unpack(ids))
end

local function place_of(at)
  return { budget = ARGV[at], member = ARGV[at + 7], bucket = ARGV[at + 6], ends = ARGV[at + 8] }
end

-- Tells whether a rolling window is below what it reported, and that is a whole window ago.
local function has_fallen(bucket, fired, rule, alerted, known)
  if bucket == '' or not fired or tonumber(bucket) - tonumber(fired) <= BUCKETS then
    return false
  end
  local at = string.match(rule, ' ' .. alerted .. ':(%d+)')
  return at ~= nil and known < tonumber(at)
end

local NAMES = { 'spent', 'at_risk', 'q', 'w', 'seeded', 'rule', 'next', 'alerted', 'floor', 'fired' }
local q, w = tonumber(ARGV[4]), tonumber(ARGV[5])
local unseeded, full, fresh, partial = {}, {}, {}, {}
local refused, refusing
for i = 1, applications do
  local key, at = KEYS[7 + 2 * i], 1 + 9 * i
  local now = redis.call('HMGET', key, unpack(NAMES))
  local bucket = ARGV[at + 6]
  if bucket ~= '' and now[9] and tonumber(now[9]) < tonumber(bucket) - BUCKETS then
    expire(key, tonumber(now[9]), tonumber(bucket) - BUCKETS)
    now = redis.call('HMGET', key, unpack(NAMES))
  end
  since[i] = string.match(since[i] or '0', '^%d+')
  fresh[i] = now[5] ~= since[i]
  partial[i] = fresh[i] and tonumber(since[i]) > tonumber(ARGV[at + 5])
  if partial[i] then
    unseeded[#unseeded + 1] = i - 1
  end
  local known = tonumber(now[1] or '0') + tonumber(now[2] or '0')
  local likely, worst = known + tonumber(now[3] or '0') + q, known + tonumber(now[4] or '0') + w
  if likely > tonumber(ARGV[at + 2]) or worst > tonumber(ARGV[at + 3]) then
    if ARGV[at + 1] == '0' then
      full[#full + 1] = i - 1
    elseif not refused then
      refused, refusing = i - 1, now
    end
  end
  if not fresh[i] then
    local rule, following = ARGV[at + 4], now[7]
    local fell = has_fallen(bucket, now[10], now[6], now[8], known)
    if now[6] ~= rule or fell or (following and following ~= '' and known >= tonumber(following)) then
      cross(KEYS[8], key, place_of(at), rule, fell)
    end
  end
end
if #unseeded > 0 and ARGV[2] ~= '' then
  return { 'unseeded', unseeded }
end
if refused then
  return { 'refused', refused, refusing[1] or '0', refusing[2] or '0', refusing[3] or '0', refusing[4] or '0' }
end

for i = 1, applications do
  local key, index, at = KEYS[7 + 2 * i], KEYS[8 + 2 * i], 1 + 9 * i
  local bucket = ARGV[at + 6]
  redis.call('HINCRBY', key, 'q', ARGV[4])
  redis.call('HINCRBY', key, 'w', ARGV[5])
  if fresh[i] then
    if not partial[i] then
      redis.call('HSET', key, 'seeded', since[i])
    end
    if bucket ~= '' then
      redis.call('HSETNX', key, 'floor', string.format('%.0f', tonumber(bucket) - BUCKETS))
    end
    redis.call('SADD', KEYS[5], ARGV[at])
    cross(KEYS[8], key, place_of(at), ARGV[at + 4], false)
  end
  if fresh[i] or bucket ~= '' then
    redis.call('ZADD', index, 'GT', ARGV[at + 8], ARGV[at + 7])
  end
end

redis.call('HSET', KEYS[1], ARGV[1], ARGV[9])
if redis.call('HLEN', KEYS[1]) == 1 then
  redis.call('SADD', KEYS[4], ARGV[8])
end
redis.call('SADD', KEYS[6], ARGV[8] .. ':' .. ARGV[1])
redis.call('ZADD', KEYS[7], 'GT', ARGV[7], ARGV[6])
return { 'held', full }
