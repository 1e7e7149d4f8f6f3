-- Stands before every script of this folder: what they share. It owns the layout of an entry and where entries stand.
--
-- Keys: 1 gen, 2 entries, 3 leases, 4 lanes, 5 arrivals, 6 blocked, 7 groups; then timed, ready, slots, expiries and waiting of each
-- declared lane; then, from OWN on, the script's own.
-- Arguments: 1 the channel, 2 the moment in milliseconds (empty: Redis's own time), 3 how many lanes are declared, then their names;
-- from FIRST on the script's own.
-- Answer of a script that meets an entry of a lane that was not declared: 'LANE' and the lanes' names; nothing was changed then.
--
-- entries  hash: id -> packed {kind, lane, priority, revision, arrival, owner, stop, pending or false}, then, where an entry has any of
--          these, {group, concurrency, expires or false, ended}. pending: {revision, due, lane, priority, group, concurrency, expires or
--          false}. ended: it was leased because its moment was over
-- timed    sorted set: id -> due
-- ready    sorted set: arrival (12 digits) ':' id -> due - priority * 60000
-- waiting  sorted set: id -> that score; the entries of the lane that are in blocked
-- expiries sorted set: id -> the moment from which on it must not start; those of the lane that nobody has leased
-- slots    set of ids that hold a slot of the lane
-- leases   sorted set: id -> deadline
-- blocked  sorted set, lexical: group NUL lane NUL score (16 digits) ':' arrival ':' id
-- groups   sorted set, lexical: group NUL id; those that hold a slot
-- lanes    set of all lanes that were ever used;  arrivals: the last arrival number
-- Where an entry stands is said by these sets alone: exactly one of timed, ready, waiting and leases has it.
--
-- An entry waits in blocked only while another of its group holds a slot, or stands in ready of the same lane. So whoever frees a slot
-- unblocks the group's first ones in each lane, and whoever takes an entry out of ready, but not to a slot, those of that lane.

local GEN, ENTRIES, LEASES, LANES, ARRIVALS, BLOCKED, GROUPS = unpack(KEYS, 1, 7)
local CHANNEL, NOW, DECLARED = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local MICROS = 0
local FIRST, OWN = 4 + DECLARED, 8 + 5 * DECLARED
local MINUTE, MOST, LIFT = 60000, 256, 2 ^ 52

if not NOW then
  local time = redis.call('TIME')
  NOW = time[1] * 1000 + math.floor(time[2] / 1000)
  MICROS = time[2] % 1000
end

local lanes, missing, rows, touched = {}, {}, {}, {}
for number = 1, DECLARED do
  local at = 3 + 5 * number
  lanes[ARGV[3 + number]] =
    { timed = KEYS[at], ready = KEYS[at + 1], slots = KEYS[at + 2], expiries = KEYS[at + 3], waiting = KEYS[at + 4] }
end

local function fetch(ids)
  if #ids == 0 then return end
  local packed = redis.call('HMGET', ENTRIES, unpack(ids))
  for place, id in ipairs(ids) do
    if packed[place] then
      local f = cmsgpack.unpack(packed[place])
      rows[id] = {
        kind = f[1], lane = f[2], priority = f[3], revision = f[4], arrival = f[5], owner = f[6], stop = f[7], pending = f[8] or nil,
        group = f[9] or '', concurrency = f[10] or 0, expires = f[11] or nil, ended = f[12] or false,
      }
    end
  end
end

local function save(id)
  local r = rows[id]
  local packed = { r.kind, r.lane, r.priority, r.revision, r.arrival, r.owner, r.stop, r.pending or false }
  if r.expires then
    packed[9], packed[10], packed[11], packed[12] = r.group, r.concurrency, r.expires, r.ended
  elseif r.group ~= '' then
    packed[9], packed[10] = r.group, r.concurrency
  end
  redis.call('HSET', ENTRIES, id, cmsgpack.pack(packed))
end

-- An entry as put and restore are told it, from ARGV[at] on: id, kind, lane, due, revision, priority, group, concurrency, expires.
local TOLD = 9
local function told(at)
  return {
    kind = ARGV[at + 1], lane = ARGV[at + 2], due = tonumber(ARGV[at + 3]), revision = tonumber(ARGV[at + 4]),
    priority = tonumber(ARGV[at + 5]), group = ARGV[at + 6], concurrency = tonumber(ARGV[at + 7]), expires = tonumber(ARGV[at + 8]),
    owner = '', stop = false, ended = false,
  }
end

local function need(lane)
  if lane and not lanes[lane] then missing[lane] = true end
end

local function undeclared()
  if not next(missing) then return nil end
  local answer = { 'LANE' }
  for lane in pairs(missing) do answer[#answer + 1] = lane end
  return answer
end

local function leased(id)
  return redis.call('ZSCORE', LEASES, id)
end

local function member(id)
  return string.format('%012.0f:%s', rows[id].arrival, id)
end

local function blocked_member(id, score)
  local row = rows[id]
  return string.format('%s\0%s\0%016.0f:%s', row.group, row.lane, score + LIFT, member(id))
end

local function wake()
  redis.call('PUBLISH', CHANNEL, 'wake')
end

-- How many of a group hold a slot.
local function holding(group)
  return redis.call('ZLEXCOUNT', GROUPS, '[' .. group .. '\0', '(' .. group .. '\1')
end

-- The lanes in which entries of a group are blocked: one look for each.
local function lanes_blocked(group)
  local found, from = {}, '[' .. group .. '\0'
  for _ = 1, MOST do
    local first = redis.call('ZRANGEBYLEX', BLOCKED, from, '(' .. group .. '\1', 'LIMIT', 0, 1)[1]
    if not first then break end
    local lane = string.match(string.sub(first, #group + 2), '^%Z*')
    found[#found + 1] = lane
    from = '(' .. group .. '\0' .. lane .. '\1'
  end
  return found
end

-- Whether there was anything in blocked when a script that adds nothing to it began.
local blocked_once
local function any_blocked()
  if blocked_once == nil then blocked_once = redis.call('EXISTS', BLOCKED) == 1 end
  return blocked_once
end

-- Asks for the lanes that the end of this lease may unblock entries of.
local function need_group(id)
  local group = rows[id].group
  if group == '' or not any_blocked() then return end
  for _, lane in ipairs(lanes_blocked(group)) do need(lane) end
end

-- Notes that entries of a group that are blocked in a lane may go now.
local function touch(group, lane)
  if group ~= '' and lanes[lane] then touched[group .. '\0' .. lane] = { group, lane } end
end

-- Puts an entry that stands nowhere into timed or ready; answers whether a worker may sleep too long now.
local function place(id, due)
  local row = rows[id]
  local lane, sooner = lanes[row.lane], false
  redis.call('SADD', LANES, row.lane)
  if row.expires then
    redis.call('ZADD', lane.expiries, row.expires, id)
    sooner = redis.call('ZRANGE', lane.expiries, 0, 0)[1] == id
  end
  if due <= NOW then
    redis.call('ZADD', lane.ready, due - row.priority * MINUTE, member(id))
    return true
  end
  redis.call('ZADD', lane.timed, due, id)
  return sooner or redis.call('ZRANGE', lane.timed, 0, 0)[1] == id
end

-- Takes an entry that nobody has leased out of timed, ready or blocked.
local function displace(id)
  local row = rows[id]
  local lane = lanes[row.lane]
  if row.expires then redis.call('ZREM', lane.expiries, id) end
  if redis.call('ZREM', lane.timed, id) == 1 then return end
  touch(row.group, row.lane)
  if redis.call('ZREM', lane.ready, member(id)) == 1 then return end
  local score = redis.call('ZSCORE', lane.waiting, id)
  if score then
    redis.call('ZREM', lane.waiting, id)
    redis.call('ZREM', BLOCKED, blocked_member(id, score))
  end
end

-- Ends a lease and frees its slot; answers whether somebody waits for that slot.
local function unlease(id)
  local row = rows[id]
  local lane = lanes[row.lane]
  redis.call('ZREM', LEASES, id)
  row.ended = false
  if redis.call('SREM', lane.slots, id) == 0 then return false end
  if row.group ~= '' then
    redis.call('ZREM', GROUPS, row.group .. '\0' .. id)
    if any_blocked() then
      for _, name in ipairs(lanes_blocked(row.group)) do touch(row.group, name) end
    end
  end
  return redis.call('EXISTS', lane.ready) == 1
end

-- Moves the first blocked ones of a group in a lane to ready, as if they took slots, until one would be refused or ``most`` are moved.
local function unblock_some(group, name, most)
  local lane, held, moved = lanes[name], holding(group), 0
  local from, to = '[' .. group .. '\0' .. name .. '\0', '(' .. group .. '\0' .. name .. '\1'
  for _ = 1, most do
    local first = redis.call('ZRANGEBYLEX', BLOCKED, from, to, 'LIMIT', 0, 1)[1]
    if not first then break end
    local plain = string.sub(first, #group + #name + 3)
    local id = string.sub(plain, 31)
    if not rows[id] then fetch({ id }) end
    local row = rows[id]
    if row and row.concurrency > 0 and held + moved >= row.concurrency then break end
    redis.call('ZREM', BLOCKED, first)
    redis.call('ZREM', lane.waiting, id)
    if row then
      redis.call('ZADD', lane.ready, tonumber(string.sub(plain, 1, 16)) - LIFT, string.sub(plain, 18))
      moved = moved + 1
    end
  end
  return moved > 0
end

-- Unblocks what this script has made room for, at most 256 in all (at least one each); answers whether there was any.
local function unblock()
  if not next(touched) or redis.call('EXISTS', BLOCKED) == 0 then
    touched = {}
    return false
  end
  local places, any = {}, false
  for place in pairs(touched) do places[#places + 1] = place end
  table.sort(places)
  for _, place in ipairs(places) do
    any = unblock_some(touched[place][1], touched[place][2], math.max(1, math.floor(MOST / #places))) or any
  end
  touched = {}
  return any
end

-- Makes an entry what a put asked for while it was leased; answers its new due time.
local function renewed(id)
  local row, p = rows[id], rows[id].pending
  row.revision, row.lane, row.priority, row.group, row.concurrency, row.expires = p[1], p[3], p[4], p[5], p[6], p[7] or nil
  row.arrival, row.owner, row.stop, row.ended, row.pending = redis.call('INCR', ARRIVALS), '', false, false, nil
  return p[2]
end
