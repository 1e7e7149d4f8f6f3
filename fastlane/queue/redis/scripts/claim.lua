-- claim: leases entries to an owner. First those of any lane whose lease ran out; then, without slots, the expired ones of the declared
-- lanes; then the best ready ones of the lanes to serve that find a free slot and room in their group. An entry whose group is full is
-- set aside. What is left goes to entries of the lane without slots that are due soon: nobody waits for a slot of it, so they take nothing
-- from others. An id without an entry (from a server that evicts keys) is dropped where it is met.
-- In a lane whose tasks take turns, the best is the first entry of the task that has waited longest since its due time or its last turn.
-- Keys: those of entries.lua; the lanes to serve and those that are only watched are declared, in the order in which they take turns; then
-- the turns of those whose tasks take turns.
-- Then pauses (hash: a paused lane's name -> '1'; '' -> the revision of the set; '*' -> '1' when all lanes with slots are paused): a paused
-- lane is only watched.
-- Arguments: generation, owner, the most entries to lease (at most 256), the lease in milliseconds, how soon what is leased ahead is due
-- (milliseconds; 0: nothing is), then for each declared lane its limit (empty: none; 'watch': it is not served; with 't' at its end: its
-- tasks take turns).
-- Answer: now; the next time at which a claim could give more (-1: time alone changes nothing); 1 when the generation is another, or 0;
-- the leases, each as its id, kind, lane, revision, 1 or 0 for taken over, to be stopped, and expired, and its due time where that is to come
-- (0: it is not); the microseconds of now. Or LANE.
local generation, owner = ARGV[FIRST_ARGUMENT], ARGV[FIRST_ARGUMENT + 1]
local left, lease = tonumber(ARGV[FIRST_ARGUMENT + 2]), tonumber(ARGV[FIRST_ARGUMENT + 3])
local ahead = tonumber(ARGV[FIRST_ARGUMENT + 4])
local FIRST_LIMIT = FIRST_ARGUMENT + 5
-- How many ready entries of a lane are read at a time, once some were refused.
local PAGE = 16
-- For how long the last turn of a task is known, in milliseconds.
local KNOWN = 24 * 60 * MINUTE
-- By how much a turn comes after now and the turn before, at least: a fraction that a score keeps. So it also comes after what is due now.
local TURN = 1 / 1024
if redis.call('GET', GENERATION) ~= generation then return { NOW, -1, 1, {}, NOW_MICROS } end

for name, keys in pairs(lanes) do
  if name ~= SLOTLESS and not turns[name] and in_line(redis.call('ZRANGE', keys.ready, -1, -1, 'WITHSCORES')[2]) then
    undeclared[name .. TURNS] = true
  end
end
if lanes_answer() then return lanes_answer() end

local all_paused, paused = redis.call('HGET', KEYS[FIRST_KEY], '*'), {}
if DECLARED > 0 then paused = redis.call('HMGET', KEYS[FIRST_KEY], unpack(ARGV, FIRST_LANE, FIRST_LANE - 1 + DECLARED)) end
local leases, group_slots, served, declared = {}, {}, {}, {}
for number = 1, DECLARED do
  local name, limit = ARGV[FIRST_LANE - 1 + number], ARGV[FIRST_LIMIT - 1 + number]
  if lanes[name] then
    local most, fair = string.match(limit, '^(%d*)(t?)$')
    local lane = { name = name, keys = lanes[name], limit = tonumber(most), fair = fair == 't', taken = {} }
    declared[#declared + 1] = lane
    local held = paused[number] or (all_paused and name ~= SLOTLESS)
    if limit ~= 'watch' and not held then served[#served + 1] = lane end
  end
end
-- How many entries of one lane a claim may look at, and make ready: each lane has its share, so that none waits for another's backlog.
local SHARE = math.max(1, math.floor(MOST / math.max(1, #served)))

local function lease_entry(id, resume, due)
  local entry = entries[id]
  entry.owner, entry.stop = owner, entry.stop and GIVEN
  save_entry(id)
  redis.call('ZADD', LEASES, NOW + lease, id)
  local values = { id, entry.kind, entry.lane, entry.revision, resume, entry.stop and 1 or 0, entry.ended and 1 or 0, due or 0 }
  for _, value in ipairs(values) do leases[#leases + 1] = value end
  left = left - 1
end

-- No deadline is beyond two leases, unless Redis's clock was set back. A live owner renews such a lease; that of a dead one would hold its
-- slot until the clock shows the old time again.
local farthest = string.format('%.0f', NOW + 2 * lease)
for _, id in ipairs(redis.call('ZRANGEBYSCORE', LEASES, '(' .. farthest, '+inf', 'LIMIT', 0, MOST)) do
  redis.call('ZADD', LEASES, farthest, id)
end

local run_out = redis.call('ZRANGEBYSCORE', LEASES, '-inf', NOW, 'LIMIT', 0, left)
read_entries(run_out)
for _, id in ipairs(run_out) do
  if entries[id] then lease_entry(id, 1) else redis.call('ZREM', LEASES, id) end
end

-- Leases expired entries, at most ``most``, to be ended.
local function lease_expired(most)
  for _, lane in ipairs(declared) do
    local expired = most > 0 and redis.call('ZRANGEBYSCORE', lane.keys.expiries, '-inf', NOW, 'LIMIT', 0, most) or {}
    read_entries(expired)
    for _, id in ipairs(expired) do
      if entries[id] then
        remove(id)
        entries[id].ended = true
        lease_entry(id, 0)
        most = most - 1
      else
        redis.call('ZREM', lane.keys.expiries, id)
      end
    end
  end
  unblock()
end

-- Moves due entries of a lane from timed to ready.
local function move_due(keys)
  local ids_and_dues = redis.call('ZRANGEBYSCORE', keys.timed, '-inf', NOW, 'WITHSCORES', 'LIMIT', 0, SHARE)
  local ids, scores = {}, {}
  for position = 1, #ids_and_dues, 2 do ids[#ids + 1] = ids_and_dues[position] end
  if #ids == 0 then return end
  read_entries(ids)
  for number, id in ipairs(ids) do
    if entries[id] then
      scores[#scores + 1] = ids_and_dues[2 * number] - entries[id].priority * MINUTE
      scores[#scores + 1] = ready_member(id)
    end
  end
  redis.call('ZREM', keys.timed, unpack(ids))
  if #scores > 0 then redis.call('ZADD', keys.ready, unpack(scores)) end
end

-- Takes entries out of line, at most the lane's share.
local function take_out_of_line(lane)
  local turn = turns[lane.name]
  redis.call('UNLINK', turn.line, turn.tasks)
  local found = redis.call('ZRANGEBYSCORE', lane.keys.ready, IN_LINE_FROM, '+inf', 'WITHSCORES', 'LIMIT', 0, SHARE)
  local scores = {}
  for position = 1, #found, 2 do
    scores[#scores + 1] = found[position + 1] - IN_LINE
    scores[#scores + 1] = found[position]
  end
  if #scores > 0 then redis.call('ZADD', lane.keys.ready, unpack(scores)) end
  if #found < 2 * SHARE and not lane.fair then redis.call('UNLINK', turn.served) end
end

-- Brings entries of ready into line, at most the lane's share; the next claim goes on at once, so that no task waits behind the page of
-- another.
local function bring_into_line(lane)
  local turn = turns[lane.name]
  local found = redis.call('ZRANGEBYSCORE', lane.keys.ready, '-inf', '(' .. string.format('%.0f', IN_LINE_FROM), 'WITHSCORES', 'LIMIT', 0, SHARE)
  local ids, scores, line, tasks, names = {}, {}, {}, {}, {}
  lane.goes_on = #found == 2 * SHARE
  for position = 1, #found, 2 do ids[#ids + 1] = string.sub(found[position], 14) end
  read_entries(ids)
  for number, id in ipairs(ids) do
    local member, rank = found[2 * number - 1], tonumber(found[2 * number])
    if entries[id] then
      scores[#scores + 1] = rank + IN_LINE
      scores[#scores + 1] = member
      line[#line + 1] = 0
      line[#line + 1] = line_member(id, rank)
      tasks[turn_of(entries[id])] = true
    else
      redis.call('ZREM', lane.keys.ready, member)
    end
  end
  if #scores == 0 then return end
  redis.call('ZADD', lane.keys.ready, unpack(scores))
  redis.call('ZADD', turn.line, unpack(line))
  for name in pairs(tasks) do names[#names + 1] = name end
  table.sort(names)
  for _, name in ipairs(names) do find_first(lane.name, name) end
end

-- Makes a lane's line ready to be served; a lane whose line does not fit it is served without turns until all entries are out of line.
local function form_line(lane)
  local turn = turns[lane.name]
  if not turn then return end
  local standing, known = redis.call('ZCOUNT', lane.keys.ready, IN_LINE_FROM, '+inf'), redis.call('ZCARD', turn.line)
  if not lane.fair or standing > known or (known > 0 and redis.call('EXISTS', turn.tasks) == 0) then
    take_out_of_line(lane)
    lane.fair = false
  else
    bring_into_line(lane)
  end
end

-- The next best ready entry of a lane, {id, member, score}; nil when there is none, or the lane's share is used up. Reads ``count`` of
-- them at a time.
local function next_ready(lane, count)
  if lane.next > #lane.page then
    count = math.min(count, SHARE - #lane.taken)
    lane.page, lane.next = {}, 1
    local members = count > 0 and redis.call('ZRANGE', lane.keys.ready, #lane.taken, #lane.taken + count - 1, 'WITHSCORES') or {}
    local ids = {}
    for position = 1, #members, 2 do
      local id = string.sub(members[position], 14)
      ids[#ids + 1] = id
      lane.page[#lane.page + 1] = { id = id, member = members[position], score = members[position + 1] }
    end
    read_entries(ids)
  end
  lane.next = lane.next + 1
  return lane.page[lane.next - 1]
end

local function group_is_full(entry)
  if entry.group == '' or entry.concurrency == 0 then return false end
  group_slots[entry.group] = group_slots[entry.group] or slots_of_group(entry.group)
  return group_slots[entry.group] >= entry.concurrency
end

local function set_aside(lane, candidate)
  redis.call('ZADD', lane.keys.waiting, candidate.score, candidate.id)
  redis.call('ZADD', BLOCKED, 0, blocked_member(candidate.id, candidate.score))
end

local function take_slot(lane, id, group)
  redis.call('SADD', lane.keys.slots, id)
  if group ~= '' then
    redis.call('ZADD', GROUPS, 0, group .. '\0' .. id)
    if group_slots[group] then group_slots[group] = group_slots[group] + 1 end
  end
  lane.free = lane.free - 1
end

-- Leases an entry that came out of ready, with a slot unless it has expired.
local function start(lane, id, expired)
  local entry = entries[id]
  if entry.expires then redis.call('ZREM', lane.keys.expiries, id) end
  entry.ended = expired
  if lane.limit and not expired then take_slot(lane, id, entry.group) end
  note_room(entry.group, lane.name)
  lease_entry(id, 0)
end

-- The first entry of the task whose turn it is; nil when there is none.
local function next_in_turn(lane)
  local turn = turns[lane.name]
  for _ = 1, PAGE do
    local task, since = unpack(redis.call('ZRANGE', turn.tasks, 0, 0, 'WITHSCORES'))
    if not task then return nil end
    local first = turn.first[task] or find_first(lane.name, task)
    if first and first.since == tonumber(since) then return first end
  end
end

-- Notes that a task has had its turn now.
local function end_turn(lane, task)
  local served = turns[lane.name].served
  lane.turn = lane.turn or tonumber(redis.call('ZRANGE', served, -1, -1, 'WITHSCORES')[2] or 0)
  lane.turn = math.max(NOW, lane.turn) + TURN
  redis.call('ZADD', served, lane.turn, task)
end

-- As serve, where tasks take turns.
local function serve_in_turn(lane)
  for _ = 1, SHARE do
    local candidate = next_in_turn(lane)
    if not candidate then return false end
    local id, entry = candidate.id, entries[candidate.id]
    local expired = entry.expires ~= nil and entry.expires <= NOW
    local is_full = lane.limit and not expired and group_is_full(entry)
    redis.call('ZREM', lane.keys.ready, candidate.member)
    redis.call('ZREM', turns[lane.name].line, candidate.line)
    if is_full then
      set_aside(lane, { id = id, score = candidate.rank })
    elseif not expired then
      end_turn(lane, turn_of(entry))
    end
    find_first(lane.name, turn_of(entry))
    if not is_full then
      start(lane, id, expired)
      return true
    end
  end
  return false
end

-- Leases the best entry of a lane that may start, and sets aside those before it whose group is full; answers whether there was one.
local function serve(lane)
  if lane.fair then return serve_in_turn(lane) end
  for _ = 1, SHARE do
    local candidate = next_ready(lane, PAGE)
    if not candidate then return false end
    lane.taken[#lane.taken + 1] = candidate.member
    local id, entry = candidate.id, entries[candidate.id]
    local expired = entry and entry.expires ~= nil and entry.expires <= NOW
    if entry and lane.limit and not expired and group_is_full(entry) then
      set_aside(lane, candidate)
    elseif entry then
      start(lane, id, expired)
      return true
    end
  end
  return false
end

lease_expired(math.ceil(left / 2))
for _, lane in ipairs(served) do
  move_due(lane.keys)
  form_line(lane)
  lane.free = lane.limit and math.max(0, lane.limit - redis.call('SCARD', lane.keys.slots)) or math.huge
  lane.page, lane.next = {}, 1
end

-- Each lane first reads in one go as many entries as it gets when none is refused. Lanes are served one entry each in turn: none starves.
local available, budget, progress = {}, left, true
for number, lane in ipairs(served) do
  available[number], lane.quota = math.min(lane.free, redis.call('ZCARD', lane.keys.ready)), 0
end
while budget > 0 and progress do
  progress = false
  for number, lane in ipairs(served) do
    if budget > 0 and not lane.fair and lane.quota < available[number] then lane.quota, budget, progress = lane.quota + 1, budget - 1, true end
  end
end
for _, lane in ipairs(served) do
  if lane.quota > 0 then
    next_ready(lane, lane.quota)
    lane.next = 1
  end
end
progress = true
while left > 0 and progress do
  progress = false
  for _, lane in ipairs(served) do
    if left > 0 and lane.free > 0 and serve(lane) then progress = true end
  end
end
for _, lane in ipairs(served) do
  if #lane.taken > 0 then redis.call('ZREM', lane.keys.ready, unpack(lane.taken)) end
  if lane.turn then redis.call('ZREMRANGEBYSCORE', turns[lane.name].served, '-inf', NOW - KNOWN) end
end
lease_expired(left)

-- Leases the entries of a lane that are due soon.
local function lease_ahead(keys)
  local ids_and_dues, ids = redis.call('ZRANGEBYSCORE', keys.timed, '-inf', NOW + ahead, 'WITHSCORES', 'LIMIT', 0, left), {}
  for position = 1, #ids_and_dues, 2 do ids[#ids + 1] = ids_and_dues[position] end
  if #ids == 0 then return end
  read_entries(ids)
  redis.call('ZREM', keys.timed, unpack(ids))
  for number, id in ipairs(ids) do
    if entries[id] then
      if entries[id].expires then redis.call('ZREM', keys.expiries, id) end
      local due = tonumber(ids_and_dues[2 * number])
      lease_entry(id, 0, due > NOW and due)
    end
  end
end
for _, lane in ipairs(served) do
  if lane.name == SLOTLESS and ahead > 0 and left > 0 then lease_ahead(lane.keys) end
end

local next_at = nil
local function consider(time)
  if time and (not next_at or time < next_at) then next_at = math.max(time, NOW) end
end
local function first_score(key)
  return tonumber(redis.call('ZRANGE', key, 0, 0, 'WITHSCORES')[2])
end
for _, lane in ipairs(served) do
  if lane.goes_on or (lane.free > 0 and redis.call('EXISTS', lane.keys.ready) == 1) then consider(NOW) end
  local due = first_score(lane.keys.timed)
  -- Half of the time ahead: what is due in the other half is leased with it.
  if due and lane.name == SLOTLESS then due = due - math.floor(ahead / 2) end
  consider(due)
end
for _, lane in ipairs(declared) do consider(first_score(lane.keys.expiries)) end
consider(first_score(LEASES))
return { NOW, next_at or -1, 0, leases, NOW_MICROS }
