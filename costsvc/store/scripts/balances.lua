-- What scripts that change balances share; it stands where a script says `-- include: balances`.
--
-- A balance is a hash of decimal strings: spent, at_risk, q, w; `seeded`, since when its definition counts;
-- `base`, what of spent no live entry shows: the ledger's sum of before, and entries that are sealed;
-- `rule`, `alerted`, `next`: thresholds as "permille:nano-USD ...", the highest that was reported, and the sum
-- that reaches the next. Of a rolling window it also has s<n>, r<n> and b<n>, what of spent, at_risk and base is bucket
-- n's (and no base), and `floor`, the oldest bucket that is still in the sums.
--
-- Money is added by HINCRBY from strings, exactly; Lua only compares it, below 2^53.
-- A charge is "<budget>:<window>:<bucket or nothing>:<when it can go, s>:<instance, quoted>".

local BUCKETS = 60

local function lines_of(record)
  local lines = {}
  for line in string.gmatch(record, '([^\n]*)\n') do
    lines[#lines + 1] = line
  end
  return lines
end

local function negated(amount)
  if amount == '0' then
    return amount
  end
  return string.sub(amount, 1, 1) == '-' and string.sub(amount, 2) or '-' .. amount
end

local function parts_of(charge)
  return string.match(charge, '^([^:]*):([^:]*):([^:]*):([^:]*):(.*)$')
end

-- Takes the buckets before `oldest` out of the sums. No bucket is ever above floor + BUCKETS.
local function expire(key, floor, oldest)
  if floor < oldest then
    local names, bases = {}, {}
    for n = floor, math.min(oldest - 1, floor + BUCKETS) do
      bases[#bases + 1] = string.format('b%.0f', n)
      names[#names + 1] = string.format('s%.0f', n)
      names[#names + 1] = string.format('r%.0f', n)
    end
    local amounts = redis.call('HMGET', key, unpack(names))
    for i, name in ipairs(names) do
      if amounts[i] then
        redis.call('HINCRBY', key, i % 2 == 1 and 'spent' or 'at_risk', negated(amounts[i]))
        redis.call('HDEL', key, name)
      end
    end
    redis.call('HDEL', key, unpack(bases))
    redis.call('HSET', key, 'floor', string.format('%.0f', oldest))
  end
end

-- Adds to spent or at_risk, unless its bucket no longer counts.
local function count(key, bucket, name, amount)
  if bucket ~= '' then
    if tonumber(bucket) < tonumber(redis.call('HGET', key, 'floor')) then
      return
    end
    redis.call('HINCRBY', key, (name == 'spent' and 's' or 'r') .. bucket, amount)
  end
  redis.call('HINCRBY', key, name, amount)
end

-- Returns the thresholds that a sum has reached and that were not reported in this window, and notes them.
local function cross(key, rule, alerted, known)
  local met, following = {}, ''
  for permille, at in string.gmatch(rule, '(%d+):(%d+)') do
    if tonumber(permille) > tonumber(alerted) and following == '' then
      if known >= tonumber(at) then
        met[#met + 1] = permille
      else
        following = at
      end
    end
  end
  redis.call('HSET', key, 'rule', rule, 'alerted', met[#met] or alerted, 'next', following)
  return met
end

-- Changes a balance by a charge: q and w together, at_risk, spent; nil changes nothing. A window that was swept
-- stays gone. Appends to `crossed`, if not nil, the charge and the threshold, for each that this reaches.
local function change(prefix, charge, q, w, at_risk, spent, crossed)
  local budget, window, bucket, _, instance = parts_of(charge)
  local key = prefix .. budget .. ':' .. window .. ':' .. instance
  if redis.call('EXISTS', key) == 0 then
    return
  end
  if q then
    redis.call('HINCRBY', key, 'q', q)
    redis.call('HINCRBY', key, 'w', w)
  end
  if at_risk then
    count(key, bucket, 'at_risk', at_risk)
  end
  if spent then
    count(key, bucket, 'spent', spent)
  end
  if not crossed then
    return
  end
  local now = redis.call('HMGET', key, 'spent', 'at_risk', 'next', 'rule', 'alerted')
  local following = now[3]
  if following and following ~= '' then
    local known = tonumber(now[1] or '0') + tonumber(now[2] or '0')
    if known >= tonumber(following) then
      for _, permille in ipairs(cross(key, now[4], now[5], known)) do
        crossed[#crossed + 1] = charge
        crossed[#crossed + 1] = permille
      end
    end
  end
end

-- Makes the balance of a charge where there is none: of an attempt that has no record.
local function create(prefix, index_prefix, counted, charge)
  local budget, window, bucket, ends, instance = parts_of(charge)
  local member = window .. ':' .. instance
  local key = prefix .. budget .. ':' .. member
  if bucket ~= '' then
    local oldest = tonumber(bucket) - BUCKETS
    redis.call('HSETNX', key, 'floor', string.format('%.0f', oldest))
    expire(key, tonumber(redis.call('HGET', key, 'floor')), oldest)
  else
    redis.call('HSETNX', key, 'spent', '0')
  end
  redis.call('ZADD', index_prefix .. budget, 'GT', ends, member)
  redis.call('SADD', counted, budget)
end

-- Ends a hold: frees q and w, adds what is at risk or spent to the balances of its record.
local function end_hold(prefix, holds_prefix, day, attempt, record, at_risk, spent, crossed)
  local q, w = negated(record[4]), negated(record[5])
  for i = 7, #record do
    change(prefix, record[i], q, w, at_risk, spent, crossed)
  end
  redis.call('SREM', holds_prefix .. record[2], day .. ':' .. attempt)
end

-- Ends a risk: frees its upper bound, adds what was spent. `risks`: the hash, the index and the sums.
local function end_risk(prefix, risks, attempt, record, spent, crossed)
  local tenant, upper = record[3], negated(record[5])
  for i = 8, #record do
    change(prefix, record[i], nil, nil, upper, spent, crossed)
  end
  redis.call('HDEL', risks[1], attempt)
  redis.call('ZREM', risks[2], record[2])
  redis.call('HINCRBY', risks[3], tenant .. ':count', -1)
  redis.call('HINCRBY', risks[3], tenant .. ':lower', negated(record[4]))
  redis.call('HINCRBY', risks[3], tenant .. ':upper', upper)
end
