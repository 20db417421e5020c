#!lua
-- Counts the uses of prefixes that one call saw, in prompt order, as `core/reuse.py` settles them. A script, because
-- replicas count the same prefixes at the same time, and none may lose what another counted.
--
-- KEYS[1..n] a tenant's places of the prefixes seen   KEYS[n+1..] those of the kinds of prefixes
-- each a string `<key, 20 bytes><state>` with a time to live; another prefix may have a place, and is worth more there
-- while it is in use
--
-- ARGV[1] n   ARGV[2] when they were seen, s   ARGV[3], ARGV[4] how long to keep what was seen once, and again, s
-- ARGV[5] the names of the kinds, with spaces between   ARGV[6..] the key of each, then for each prefix: its key, and
-- `<kind, from 1> <prefix that it continues, from 1, or 0> <moves> <warm until, s> <for an hour> <tried> <read>`
--
-- A state is `<last use, s> <row> <kind> <counted> <warm until, s> <for an hour> <tried> <read>`, and for each of 15 rows:
-- uses, next within 5 minutes, next within the hour. Returns how many prefixes found their place taken.

local LAST, ROW, KIN, COUNTED, WARM, HOUR, TRIED, READ, COUNTS = 1, 2, 3, 4, 5, 6, 7, 8, 9
local SHORT, MEDIUM, LONG, ROWS = 1, 2, 3, 15
local MOST_USES, MOST_TRIES = 120, 60
local SLOT_S, SLOTS, DAY_S = 14400, 6, 86400
local ID = 20

local n, at = tonumber(ARGV[1]), tonumber(ARGV[2])

local function fresh(kin)
  local state = { 0, 0, kin, 0, 0, 0, 0, 0 }
  for cell = COUNTS, COUNTS + 3 * ROWS - 1 do
    state[cell] = 0
  end
  return state
end

local function parse(text)
  local state = {}
  for word in string.gmatch(text, '%S+') do
    state[#state + 1] = #state + 1 == KIN and word or tonumber(word)
  end
  if #state ~= COUNTS + 3 * ROWS - 1 then
    return nil
  end
  return state
end

local function use(state, row)
  local cell = COUNTS + 3 * row
  state[cell] = state[cell] + 1
  if state[cell] > MOST_USES then
    for each = cell, cell + 2 do
      state[each] = math.floor(state[each] / 2)
    end
    state[TRIED], state[READ] = math.floor(state[TRIED] / 2), math.floor(state[READ] / 2)
  end
end

local function followed(state, row, by)
  if by < LONG then
    local cell = COUNTS + 3 * row + by
    state[cell] = state[cell] + 1
  end
end

local function tried(state, read)
  state[TRIED], state[READ] = state[TRIED] + 1, state[READ] + read
  if state[TRIED] > MOST_TRIES then
    state[TRIED], state[READ] = math.floor(state[TRIED] / 2), math.floor(state[READ] / 2)
  end
end

local function uses(state)
  local sum = 0
  for cell = COUNTS, COUNTS + 3 * ROWS - 1, 3 do
    sum = sum + state[cell]
  end
  return sum
end

-- The row of a use; after a long gap it goes by the time of the day, and by whether it is a Saturday or a Sunday.
local function row_of(gap)
  if gap <= 3600 then
    return gap <= 300 and SHORT or MEDIUM
  end
  local weekday = (math.floor(at / DAY_S) + 3) % 7
  return LONG + math.floor(at % DAY_S / SLOT_S) + (weekday >= 5 and SLOTS or 0)
end

-- What lies at the places now, and the states of what is asked for.

local names, kin_of = {}, {}
for name in string.gmatch(ARGV[5], '%S+') do
  names[#names + 1] = name
end
local found = redis.call('MGET', unpack(KEYS))
local function read(index, id)
  local text = found[index]
  return text and string.sub(text, 1, ID) == id and parse(string.sub(text, ID + 1)) or nil
end
for index, name in ipairs(names) do
  kin_of[name] = { id = ARGV[5 + index], key = KEYS[n + index], state = read(n + index, ARGV[5 + index]) }
end
local function kin(name)
  local its = kin_of[name]
  its.state = its.state or fresh('-')
  its.changed = true
  return its.state
end

local states, ids, continued = {}, {}, {}
local first = 5 + #names
for index = 1, n do
  local id = ARGV[first + 2 * index - 1]
  local which, parent, moves, warm, hour, try, came =
    string.match(ARGV[first + 2 * index], '^(%d+) (%d+) (%d) (%d+) (%d) (%d) (%d)$')
  local name = names[tonumber(which)]
  parent, warm, hour, came = tonumber(parent), tonumber(warm), tonumber(hour), tonumber(came)
  local own = read(index, id)
  if own and kin_of[own[KIN]] then
    if moves == '1' and own[COUNTED] == 1 then
      continued[index] = true
    end
    local row = row_of(at - own[LAST])
    if own[COUNTED] == 1 then
      followed(kin(own[KIN]), own[ROW], row)
    end
    followed(own, own[ROW], row)
    own[ROW] = row
    use(own, row)
  elseif parent > 0 and continued[parent] then
    own = { unpack(states[parent]) }
    own[KIN], own[WARM], own[TRIED], own[READ] = name, 0, 0, 0
  else
    own = fresh(name)
    use(own, 0)
  end
  if moves ~= '1' then
    use(kin(own[KIN]), own[ROW])
  end
  own[LAST] = math.max(own[LAST], at)
  own[COUNTED] = moves == '1' and 0 or 1
  if warm > own[WARM] then
    own[WARM], own[HOUR] = warm, hour
  elseif try == '1' and came == 0 then
    own[WARM] = 0
  end
  if try == '1' then
    tried(own, came)
    tried(kin(own[KIN]), came)
  end
  states[index], ids[index] = own, id
end

-- Written back, unless the place belongs to another that is in use while this one is new.

local function busy(index, id)
  local text = found[index]
  if not text or string.sub(text, 1, ID) == id then
    return false
  end
  local other = parse(string.sub(text, ID + 1))
  return other and at - other[LAST] < 3600 and (uses(other) > 1 or other[WARM] > at)
end

local taken = 0
for index = 1, n do
  local state = states[index]
  if uses(state) == 1 and busy(index, ids[index]) then
    taken = taken + 1
  else
    local ttl = uses(state) == 1 and ARGV[3] or ARGV[4]
    redis.call('SET', KEYS[index], ids[index] .. table.concat(state, ' '), 'EX', ttl)
  end
end
for _, its in pairs(kin_of) do
  if its.changed then
    redis.call('SET', its.key, its.id .. table.concat(its.state, ' '), 'EX', ARGV[4])
  end
end
return taken
