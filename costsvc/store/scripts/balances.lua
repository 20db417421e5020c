-- What scripts that change balances share; it stands where a script says `-- include: balances`.
--
-- A balance is a hash of decimal strings: spent, at_risk, q, w; `seeded`, since when its definition counts;
-- `base`, what of spent no live entry shows: the ledger's sum of before, and entries that are sealed;
-- `rule`, `alerted`, `next`: limit and thresholds as "<limit> <permille>:<nano-USD> ...", the highest that was
-- reported, and the sum that reaches the next. Of a rolling window it also has s<n>, r<n> and b<n>, what of spent,
-- at_risk and base is bucket n's (and no base), `floor`, the oldest bucket that is still in the sums, and `fired`, the
-- bucket of its last alert.
--
-- Money is added by HINCRBY from strings, exactly; Lua only compares it, below 2^53.
-- A charge is "<budget>:<window>:<bucket or nothing>:<when it can go, s>:<instance, quoted>".
--
-- The queue of alerts is a sorted set: alerts by when they are due, ms. An alert is lines: how often it was tried,
-- when it was raised (microseconds), permille in five digits, id, budget, "<window>:<instance, quoted>", when the charge can go,
-- spent, at_risk, limit, and the id of the alert that had to go for it.

local BUCKETS = 60
local MOST_ALERTS = 10000

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

-- Queues an alert, due at once. From a full queue goes the one that is to wait longest, which has failed most often.
-- The same threshold of the same limit and window has the same id, also where a store has forgotten it.
local function raise(queue, key, place, permille, spent, at_risk, limit)
  local time = redis.call('TIME')
  local displaced = ''
  if redis.call('ZCARD', queue) >= MOST_ALERTS then
    displaced = string.match(redis.call('ZPOPMAX', queue)[1], '^[^\n]*\n[^\n]*\n[^\n]*\n([^\n]*)') or ''
  end
  local now_us = string.format('%016.0f', tonumber(time[1]) * 1000000 + tonumber(time[2]))
  local id = redis.sha1hex(table.concat({ key, place.bucket, permille, limit }, ':'))
  local order = string.format('%05.0f', tonumber(permille))
  local lines = { '0', now_us, order, id, place.budget, place.member, place.ends, spent, at_risk, limit, displaced }
  redis.call('ZADD', queue, string.sub(now_us, 1, -4), table.concat(lines, '\n') .. '\n')
end

-- Raises an alert for each threshold that a balance has reached and that was not reported, and notes them. Under a
-- new rule, or where `anew`, those above the sum can be reported again. `place`: budget, member, bucket, ends. A rule of
-- an older version has no limit, and waits for the next hold, which brings a new one.
local function cross(queue, key, place, rule, anew)
  local limit = string.match(rule, '^(%d+) ')
  if not limit then
    return
  end
  local now = redis.call('HMGET', key, 'spent', 'at_risk', 'rule', 'alerted')
  local spent, at_risk, before = now[1] or '0', now[2] or '0', tonumber(now[4] or '0')
  local known, forgets = tonumber(spent) + tonumber(at_risk), anew or now[3] ~= rule
  local reached, following = '0', ''
  for permille, at in string.gmatch(rule, '(%d+):(%d+)') do
    if known >= tonumber(at) then
      reached = permille
      if tonumber(permille) > before then
        raise(queue, key, place, permille, spent, at_risk, limit)
        if place.bucket ~= '' then
          redis.call('HSET', key, 'fired', place.bucket)
        end
      end
    elseif following == '' and (forgets or tonumber(permille) > before) then
      following = at
    end
  end
  if not forgets and before > tonumber(reached) then
    reached = now[4]
  end
  redis.call('HSET', key, 'rule', rule, 'alerted', reached, 'next', following)
end

-- Changes a balance by a charge: q and w together, at_risk, spent; nil changes nothing. A window that was swept
-- stays gone. `alerts`: their queue, nil where no sum can rise.
local function change(prefix, charge, q, w, at_risk, spent, alerts)
  local budget, window, bucket, ends, instance = parts_of(charge)
  local member = window .. ':' .. instance
  local key = prefix .. budget .. ':' .. member
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
  if not alerts then
    return
  end
  local now = redis.call('HMGET', key, 'spent', 'at_risk', 'next', 'rule')
  if now[3] and now[3] ~= '' and tonumber(now[1] or '0') + tonumber(now[2] or '0') >= tonumber(now[3]) then
    cross(alerts, key, { budget = budget, member = member, bucket = bucket, ends = ends }, now[4], false)
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
local function end_hold(prefix, holds_prefix, day, attempt, record, at_risk, spent, alerts)
  local q, w = negated(record[4]), negated(record[5])
  for i = 7, #record do
    change(prefix, record[i], q, w, at_risk, spent, alerts)
  end
  redis.call('SREM', holds_prefix .. record[2], day .. ':' .. attempt)
end

-- Ends a risk: frees its upper bound, adds what was spent. `risks`: the hash, the index and the sums.
local function end_risk(prefix, risks, attempt, record, spent, alerts)
  local tenant, upper = record[3], negated(record[5])
  for i = 8, #record do
    change(prefix, record[i], nil, nil, upper, spent, alerts)
  end
  redis.call('HDEL', risks[1], attempt)
  redis.call('ZREM', risks[2], record[2])
  redis.call('HINCRBY', risks[3], tenant .. ':count', -1)
  redis.call('HINCRBY', risks[3], tenant .. ':lower', negated(record[4]))
  redis.call('HINCRBY', risks[3], tenant .. ':upper', upper)
end
