-- Runs before every script of this folder: what they share. It owns the layout of an entry, and the sets that say where entries are.
--
-- Keys: 1 gen, 2 entries, 3 leases, 4 lanes, 5 arrivals, 6 blocked, 7 groups; then timed, ready, slots, expiries and waiting of each
-- declared lane, or line, tasks and served of a name that ends with '@turns'; then, from FIRST_KEY on, the script's own.
-- Arguments: 1 the channel, 2 the time in milliseconds (empty: Redis's own), 3 the number of declared lanes, then their names; from
-- FIRST_ARGUMENT on, the script's own.
-- Answer of a script that meets an entry of an undeclared lane, or one in line there while its turns are not declared: 'LANE' and those
-- names. Nothing was changed then.
--
-- Layout:
-- entries   hash: id -> packed array {kind, lane, priority, revision, arrival, owner, stop, pending or false}, then, for an entry that has
--           one of them, {group, concurrency, expires or false, ended, task or false}. stop: false, true, or 'given' once an owner got it
--           with its claim. ended: it was leased because it had expired. task: by what it takes turns, where that is not its group.
--           pending: what a put asked for while the entry was leased: {revision, due, lane, priority, group, concurrency, expires or
--           false, task or false}
-- timed     sorted set: id -> due
-- ready     sorted set: arrival (12 digits) ':' id -> due - priority * 60000, its rank; plus 2^51 while it is in line
-- waiting   sorted set: id -> its rank; the entries of the lane that are in blocked
-- expiries  sorted set: id -> the time from which on it must not start; the entries of the lane that are not leased
-- slots     set: the ids that hold a slot of the lane
-- leases    sorted set: id -> deadline
-- blocked   sorted set, lexical: group NUL lane NUL rank (16 digits) ':' arrival ':' id
-- groups    sorted set, lexical: group NUL id; the entries that hold a slot
-- lanes     set: all lanes that were ever used
-- arrivals  the last arrival number
-- These sets alone say where an entry is: in exactly one of timed, ready, waiting and leases.
--
-- Of a lane whose tasks take turns there are also:
-- line      sorted set, lexical: task NUL rank (16 digits) ':' arrival ':' id; the entries of ready that claims have brought into line
-- tasks     sorted set: task -> when its first entry in line began to wait (its due time, or the turn before, if that was later) minus
--           its priority * 60000
-- served    sorted set: task -> when it had its last turn; turns of one millisecond differ by 1/1024
-- They only say in which order to serve ready. A claim makes them anew when they do not fit it: workers of a release without turns take
-- entries out of ready, and out of blocked, but know none of these.
--
-- An entry is in blocked only while another of its group holds a slot, or is in ready of the same lane. So a script that frees a slot
-- unblocks the first entries of the group in each lane; one that takes an entry out of ready, but not into a slot, those of that lane.

local GENERATION, ENTRIES, LEASES, LANES, ARRIVALS, BLOCKED, GROUPS = unpack(KEYS, 1, 7)
local CHANNEL, NOW, DECLARED = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local NOW_MICROS = 0
local FIRST_LANE, FIRST_ARGUMENT, FIRST_KEY = 4, 4 + DECLARED, 8
local MINUTE = 60000
-- How many entries a script may look at in one go.
local MOST = 256
-- Added to a score, so that it sorts as text.
local SCORE_OFFSET = 2 ^ 52
-- The lane in which no entry takes a slot: TICKS of queue/port.py.
local SLOTLESS = '@ticks'
-- The end of the name under which a lane's turns are declared.
local TURNS = '@turns'
-- Added to the score in ready of an entry in line; a score from IN_LINE_FROM on has it.
local IN_LINE, IN_LINE_FROM = 2 ^ 51, 2 ^ 50
-- A stop that the owner of the lease got with its claim.
local GIVEN = 'given'

if not NOW then
  local time = redis.call('TIME')
  NOW = time[1] * 1000 + math.floor(time[2] / 1000)
  NOW_MICROS = time[2] % 1000
end

-- The keys of each declared lane, and of its turns; what must be declared first; the entries that were read; where entries may be
-- unblocked.
local lanes, turns, undeclared, entries, room = {}, {}, {}, {}, {}
for number = 1, DECLARED do
  local name, key = ARGV[FIRST_LANE - 1 + number], FIRST_KEY
  if string.sub(name, -#TURNS) == TURNS then
    turns[string.sub(name, 1, -#TURNS - 1)] = { line = KEYS[key], tasks = KEYS[key + 1], served = KEYS[key + 2], first = {} }
    FIRST_KEY = key + 3
  else
    lanes[name] = { timed = KEYS[key], ready = KEYS[key + 1], slots = KEYS[key + 2], expiries = KEYS[key + 3], waiting = KEYS[key + 4] }
    FIRST_KEY = key + 5
  end
end

local function unpack_pending(values)
  local revision, due, lane, priority, group, concurrency, expires, task = unpack(values)
  return {
    revision = revision, due = due, lane = lane, priority = priority, group = group, concurrency = concurrency, expires = expires or nil,
    task = task or nil,
  }
end

local function pack_pending(pending)
  return {
    pending.revision, pending.due, pending.lane, pending.priority, pending.group, pending.concurrency, pending.expires or false,
    pending.task or false,
  }
end

-- Reads entries from the hash into ``entries``.
local function read_entries(ids)
  if #ids == 0 then return end
  local packed = redis.call('HMGET', ENTRIES, unpack(ids))
  for number, id in ipairs(ids) do
    if packed[number] then
      local kind, lane, priority, revision, arrival, owner, stop, pending, group, concurrency, expires, ended, task =
        unpack(cmsgpack.unpack(packed[number]))
      entries[id] = {
        kind = kind, lane = lane, priority = priority, revision = revision, arrival = arrival, owner = owner, stop = stop,
        pending = pending and unpack_pending(pending) or nil, group = group or '', concurrency = concurrency or 0, expires = expires or nil,
        ended = ended or false, task = task or nil,
      }
    end
  end
end

-- Writes an entry from ``entries`` into the hash.
local function save_entry(id)
  local entry = entries[id]
  local packed = {
    entry.kind, entry.lane, entry.priority, entry.revision, entry.arrival, entry.owner, entry.stop,
    entry.pending and pack_pending(entry.pending) or false,
  }
  if entry.expires or entry.task then
    packed[9], packed[10], packed[11], packed[12] = entry.group, entry.concurrency, entry.expires or false, entry.ended
    packed[13] = entry.task
  elseif entry.group ~= '' then
    packed[9], packed[10] = entry.group, entry.concurrency
  end
  redis.call('HSET', ENTRIES, id, cmsgpack.pack(packed))
end

-- An entry as put and restore get it: id, kind, lane, due, revision, priority, group (then NUL and the task, where it is not the group),
-- concurrency, expires, from ARGV[first] on.
local ENTRY_ARGUMENTS = 9
local function entry_argument(first)
  local group, task = ARGV[first + 6], nil
  local nul = string.find(group, '\0', 1, true)
  if nul then group, task = string.sub(group, 1, nul - 1), string.sub(group, nul + 1) end
  return {
    kind = ARGV[first + 1], lane = ARGV[first + 2], due = tonumber(ARGV[first + 3]), revision = tonumber(ARGV[first + 4]),
    priority = tonumber(ARGV[first + 5]), group = group, concurrency = tonumber(ARGV[first + 7]),
    expires = tonumber(ARGV[first + 8]), owner = '', stop = false, ended = false, task = task,
  }
end

local function require_lane(lane)
  if lane and not lanes[lane] then undeclared[lane] = true end
end

-- The answer that asks for undeclared lanes; nil when all are declared.
local function lanes_answer()
  if not next(undeclared) then return nil end
  local answer = { 'LANE' }
  for lane in pairs(undeclared) do answer[#answer + 1] = lane end
  return answer
end

local function is_leased(id)
  return redis.call('ZSCORE', LEASES, id)
end

local function ready_member(id)
  return string.format('%012.0f:%s', entries[id].arrival, id)
end

-- The rank that a score of ready stands for.
local function rank_of(score)
  return score >= IN_LINE_FROM and score - IN_LINE or score
end

local function in_line(score)
  return score and tonumber(score) >= IN_LINE_FROM
end

-- The task in whose turn an entry is served.
local function turn_of(entry)
  return entry.task or entry.group
end

local function line_member(id, rank)
  return string.format('%s\0%016.0f:%s', turn_of(entries[id]), rank + SCORE_OFFSET, ready_member(id))
end

-- Requires the lane of an entry that is not leased, and the lane's turns if it is in line.
local function require_place(id)
  local name = entries[id].lane
  if name ~= SLOTLESS and not turns[name] and (not lanes[name] or in_line(redis.call('ZSCORE', lanes[name].ready, ready_member(id)))) then
    undeclared[name .. TURNS] = true
  end
  require_lane(name)
end

-- Finds the first entry in line of a task, and notes from when on it waits; answers {id, member, rank, line, since}, or nil. Drops those
-- from the line that are no longer in ready. (More than 256 of these: the task stays as it is, for the next claim.)
local function find_first(name, task)
  local turn, since = turns[name], nil
  turn.first[task] = nil
  for _ = 1, MOST do
    local line = redis.call('ZRANGEBYLEX', turn.line, '[' .. task .. '\0', '(' .. task .. '\1', 'LIMIT', 0, 1)[1]
    if not line then
      redis.call('ZREM', turn.tasks, task)
      return nil
    end
    local rank, member = tonumber(string.sub(line, #task + 2, #task + 17)) - SCORE_OFFSET, string.sub(line, #task + 19)
    local id = string.sub(member, 14)
    if not entries[id] then read_entries({ id }) end
    if entries[id] and tonumber(redis.call('ZSCORE', lanes[name].ready, member) or 0) == rank + IN_LINE then
      local ahead = entries[id].priority * MINUTE
      since = math.max(rank + ahead, tonumber(redis.call('ZSCORE', turn.served, task) or 0)) - ahead
      redis.call('ZADD', turn.tasks, since, task)
      turn.first[task] = { id = id, member = member, rank = rank, line = line, since = since }
      return turn.first[task]
    end
    redis.call('ZREM', turn.line, line)
  end
  return nil
end

local function blocked_member(id, score)
  local entry = entries[id]
  return string.format('%s\0%s\0%016.0f:%s', entry.group, entry.lane, score + SCORE_OFFSET, ready_member(id))
end

local function wake_workers()
  redis.call('PUBLISH', CHANNEL, 'wake')
end

-- How many entries of a group hold a slot.
local function slots_of_group(group)
  return redis.call('ZLEXCOUNT', GROUPS, '[' .. group .. '\0', '(' .. group .. '\1')
end

-- The lanes in which entries of a group are blocked. Costs one look-up per lane.
local function blocked_lanes(group)
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

-- Whether blocked held anything when the script began. Only for scripts that add nothing to it.
local blocked_at_first
local function any_blocked()
  if blocked_at_first == nil then blocked_at_first = redis.call('EXISTS', BLOCKED) == 1 end
  return blocked_at_first
end

-- Requires the lanes in which the end of this lease may unblock entries.
local function require_blocked_lanes(id)
  local group = entries[id].group
  if group == '' or not any_blocked() then return end
  for _, lane in ipairs(blocked_lanes(group)) do require_lane(lane) end
end

-- Notes that a group may have room for its entries that are blocked in a lane.
local function note_room(group, lane)
  if group ~= '' and lanes[lane] then room[group .. '\0' .. lane] = { group = group, lane = lane } end
end

-- Puts an entry that is nowhere into timed or ready; answers whether workers must be woken for it.
local function insert(id, due)
  local entry = entries[id]
  local lane, wakes = lanes[entry.lane], false
  redis.call('SADD', LANES, entry.lane)
  if entry.expires then
    redis.call('ZADD', lane.expiries, entry.expires, id)
    wakes = redis.call('ZRANGE', lane.expiries, 0, 0)[1] == id
  end
  if due <= NOW then
    redis.call('ZADD', lane.ready, due - entry.priority * MINUTE, ready_member(id))
    return true
  end
  redis.call('ZADD', lane.timed, due, id)
  return wakes or redis.call('ZRANGE', lane.timed, 0, 0)[1] == id
end

-- Takes an entry that is not leased out of timed, ready or blocked.
local function remove(id)
  local entry = entries[id]
  local lane = lanes[entry.lane]
  if entry.expires then redis.call('ZREM', lane.expiries, id) end
  if redis.call('ZREM', lane.timed, id) == 1 then return end
  note_room(entry.group, entry.lane)
  local ranked = turns[entry.lane] and redis.call('ZSCORE', lane.ready, ready_member(id))
  if redis.call('ZREM', lane.ready, ready_member(id)) == 1 then
    if in_line(ranked) then
      redis.call('ZREM', turns[entry.lane].line, line_member(id, tonumber(ranked) - IN_LINE))
      find_first(entry.lane, turn_of(entry))
    end
    return
  end
  local score = redis.call('ZSCORE', lane.waiting, id)
  if score then
    redis.call('ZREM', lane.waiting, id)
    redis.call('ZREM', BLOCKED, blocked_member(id, score))
  end
end

-- Moves an entry that is not leased to another lane, at its rank.
local function move_waiting(id, name)
  local entry, to = entries[id], lanes[name]
  local from = lanes[entry.lane]
  local due = redis.call('ZSCORE', from.timed, id)
  local score = redis.call('ZSCORE', from.ready, ready_member(id)) or redis.call('ZSCORE', from.waiting, id)
  remove(id)
  entry.lane = name
  save_entry(id)
  redis.call('SADD', LANES, name)
  if entry.expires then redis.call('ZADD', to.expiries, entry.expires, id) end
  if due then
    redis.call('ZADD', to.timed, due, id)
  elseif score then
    redis.call('ZADD', to.ready, rank_of(tonumber(score)), ready_member(id))
  end
end

-- Moves a leased entry to another lane, with its slot.
local function move_leased(id, name)
  local entry = entries[id]
  if redis.call('SREM', lanes[entry.lane].slots, id) == 1 then redis.call('SADD', lanes[name].slots, id) end
  entry.lane = name
  save_entry(id)
  redis.call('SADD', LANES, name)
end

-- Ends a lease and frees its slot; answers whether an entry may be waiting for that slot.
local function end_lease(id)
  local entry = entries[id]
  local lane = lanes[entry.lane]
  redis.call('ZREM', LEASES, id)
  entry.ended = false
  if redis.call('SREM', lane.slots, id) == 0 then return false end
  if entry.group ~= '' then
    redis.call('ZREM', GROUPS, entry.group .. '\0' .. id)
    if any_blocked() then
      for _, name in ipairs(blocked_lanes(entry.group)) do note_room(entry.group, name) end
    end
  end
  return redis.call('EXISTS', lane.ready) == 1
end

-- Moves the first blocked entries of a group in a lane to ready, as if they took slots, until one has no room or ``most`` have moved.
local function unblock_group(group, lane_name, most)
  local lane, held, moved = lanes[lane_name], slots_of_group(group), 0
  local from, to = '[' .. group .. '\0' .. lane_name .. '\0', '(' .. group .. '\0' .. lane_name .. '\1'
  for _ = 1, most do
    local first = redis.call('ZRANGEBYLEX', BLOCKED, from, to, 'LIMIT', 0, 1)[1]
    if not first then break end
    local score_and_member = string.sub(first, #group + #lane_name + 3)
    local score, member = string.sub(score_and_member, 1, 16), string.sub(score_and_member, 18)
    local id = string.sub(member, 14)
    if not entries[id] then read_entries({ id }) end
    local entry = entries[id]
    if entry and entry.concurrency > 0 and held + moved >= entry.concurrency then break end
    redis.call('ZREM', BLOCKED, first)
    redis.call('ZREM', lane.waiting, id)
    if entry then
      redis.call('ZADD', lane.ready, rank_of(tonumber(score) - SCORE_OFFSET), member)
      moved = moved + 1
    end
  end
  return moved > 0
end

-- Unblocks entries where this script made room, at most 256 in all (but at least one per group and lane); answers whether it did.
local function unblock()
  if not next(room) or redis.call('EXISTS', BLOCKED) == 0 then
    room = {}
    return false
  end
  local names, any = {}, false
  for name in pairs(room) do names[#names + 1] = name end
  table.sort(names)
  for _, name in ipairs(names) do
    any = unblock_group(room[name].group, room[name].lane, math.max(1, math.floor(MOST / #names))) or any
  end
  room = {}
  return any
end

-- Makes an entry what a put asked for while it was leased; answers its new due time.
local function apply_pending(id)
  local entry, pending = entries[id], entries[id].pending
  entry.revision, entry.lane, entry.priority = pending.revision, pending.lane, pending.priority
  entry.group, entry.concurrency, entry.expires, entry.task = pending.group, pending.concurrency, pending.expires, pending.task
  entry.arrival, entry.owner, entry.stop, entry.ended, entry.pending = redis.call('INCR', ARRIVALS), '', false, false, nil
  return pending.due
end
