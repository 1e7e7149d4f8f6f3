-- Stands before every script of this folder: what they share. It owns the layout of an entry and where entries stand.
--
-- Keys: 1 gen, 2 entries, 3 leases, 4 lanes, 5 arrivals; then timed, ready and slots of each declared lane; then the script's own.
-- Arguments: 1 the channel, 2 the moment in milliseconds (empty: Redis's own time), 3 how many lanes are declared, then their names;
-- from FIRST on the script's own.
-- Answer of a script that meets an entry of a lane that was not declared: 'LANE' and the lanes' names; nothing was changed then.
--
-- entries  hash: id -> packed {kind, lane, priority, revision, arrival, owner, stop, pending {revision, due, lane, priority} or none}
-- timed    sorted set: id -> due
-- ready    sorted set: arrival (12 digits) ':' id -> due - priority * 60000
-- slots    set of ids that hold a slot of the lane
-- leases   sorted set: id -> deadline
-- lanes    set of all lanes that were ever used;  arrivals: the last arrival number
-- Where an entry stands is said by these sets alone: exactly one of timed, ready and leases has it.

local GEN, ENTRIES, LEASES, LANES, ARRIVALS = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local CHANNEL, NOW, DECLARED = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local FIRST = 4 + DECLARED
local MINUTE = 60000

if not NOW then
  local time = redis.call('TIME')
  NOW = time[1] * 1000 + math.floor(time[2] / 1000)
end

local lanes, missing, rows = {}, {}, {}
for number = 1, DECLARED do
  local key = 3 * number + 3
  lanes[ARGV[3 + number]] = { timed = KEYS[key], ready = KEYS[key + 1], slots = KEYS[key + 2] }
end

local function fetch(ids)
  if #ids == 0 then return end
  local packed = redis.call('HMGET', ENTRIES, unpack(ids))
  for place, id in ipairs(ids) do
    if packed[place] then
      local f = cmsgpack.unpack(packed[place])
      rows[id] = { kind = f[1], lane = f[2], priority = f[3], revision = f[4], arrival = f[5], owner = f[6], stop = f[7], pending = f[8] }
    end
  end
end

local function save(id)
  local r = rows[id]
  redis.call('HSET', ENTRIES, id, cmsgpack.pack({ r.kind, r.lane, r.priority, r.revision, r.arrival, r.owner, r.stop, r.pending }))
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

local function wake()
  redis.call('PUBLISH', CHANNEL, 'wake')
end

-- Puts an entry that stands nowhere into timed or ready; answers whether a worker may sleep too long now.
local function place(id, due)
  local row = rows[id]
  local lane = lanes[row.lane]
  redis.call('SADD', LANES, row.lane)
  if due <= NOW then
    redis.call('ZADD', lane.ready, due - row.priority * MINUTE, member(id))
    return true
  end
  redis.call('ZADD', lane.timed, due, id)
  return redis.call('ZRANGE', lane.timed, 0, 0)[1] == id
end

-- Takes an entry that nobody has leased out of timed or ready.
local function displace(id)
  local lane = lanes[rows[id].lane]
  if redis.call('ZREM', lane.timed, id) == 0 then redis.call('ZREM', lane.ready, member(id)) end
end

-- Ends a lease and frees its slot; answers whether somebody waits for that slot.
local function unlease(id)
  local lane = lanes[rows[id].lane]
  redis.call('ZREM', LEASES, id)
  return redis.call('SREM', lane.slots, id) == 1 and redis.call('EXISTS', lane.ready) == 1
end

-- Makes an entry what a put asked for while it was leased; answers its new due time.
local function renewed(id)
  local row = rows[id]
  local due = row.pending[2]
  row.revision, row.lane, row.priority = row.pending[1], row.pending[3], row.pending[4]
  row.arrival, row.owner, row.stop, row.pending = redis.call('INCR', ARRIVALS), '', false, nil
  return due
end
