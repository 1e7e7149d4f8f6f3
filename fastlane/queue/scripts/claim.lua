-- claim: leases entries to an owner: first those of any lane whose lease ran out, then the best ready ones of the declared lanes.
-- Keys: those of entries.lua; the lanes that are asked for are declared, in the order in which they are served.
-- Arguments: generation, owner, how many (at most 256), the lease in milliseconds, then each declared lane's limit (empty: none).
-- An id that has no entry (a server that evicts keys) is dropped where it is met.
-- Answer: now, the next moment at which there may be more (-1: not by time), 1 when the generation is another (0: it is not), and
-- for each lease its id, kind, lane, revision, 1 when it is taken over, 1 when it is to be stopped.
local MOVED = 256
local owner, left, lease = ARGV[FIRST + 1], tonumber(ARGV[FIRST + 2]), tonumber(ARGV[FIRST + 3])
if redis.call('GET', GEN) ~= ARGV[FIRST] then return { NOW, -1, 1, {} } end

local given = {}
local function lend(id, resume)
  local row = rows[id]
  row.owner = owner
  save(id)
  redis.call('ZADD', LEASES, NOW + lease, id)
  for _, value in ipairs({ id, row.kind, row.lane, row.revision, resume, row.stop and 1 or 0 }) do given[#given + 1] = value end
  left = left - 1
end

local expired = redis.call('ZRANGEBYSCORE', LEASES, '-inf', NOW, 'LIMIT', 0, left)
fetch(expired)
for _, id in ipairs(expired) do
  if rows[id] then lend(id, 1) else redis.call('ZREM', LEASES, id) end
end

-- What is due becomes ready: each lane its share, so that none waits for another's backlog.
local function ripen(lane)
  local due = redis.call('ZRANGEBYSCORE', lane.timed, '-inf', NOW, 'WITHSCORES', 'LIMIT', 0, math.max(1, math.floor(MOVED / DECLARED)))
  local ids, scores = {}, {}
  for at = 1, #due, 2 do ids[#ids + 1] = due[at] end
  if #ids == 0 then return end
  fetch(ids)
  for place, id in ipairs(ids) do
    if rows[id] then
      scores[#scores + 1] = due[2 * place] - rows[id].priority * MINUTE
      scores[#scores + 1] = member(id)
    end
  end
  redis.call('ZREM', lane.timed, unpack(ids))
  if #scores > 0 then redis.call('ZADD', lane.ready, unpack(scores)) end
end

local served = {}
for number = 1, DECLARED do
  local lane, limit = lanes[ARGV[3 + number]], tonumber(ARGV[FIRST + 3 + number])
  ripen(lane)
  local free = limit and math.max(0, limit - redis.call('SCARD', lane.slots)) or math.huge
  served[number] = { lane = lane, limited = limit, offered = math.min(free, redis.call('ZCARD', lane.ready)), taken = 0 }
end

-- One each in turn, so that no lane starves.
local budget, progress = left, true
while budget > 0 and progress do
  progress = false
  for _, one in ipairs(served) do
    if budget > 0 and one.taken < one.offered then
      one.taken, budget, progress = one.taken + 1, budget - 1, true
    end
  end
end

for _, one in ipairs(served) do
  one.ids = {}
  if one.taken > 0 then
    local best = redis.call('ZPOPMIN', one.lane.ready, one.taken)
    for at = 1, #best, 2 do one.ids[#one.ids + 1] = string.sub(best[at], 14) end
    fetch(one.ids)
  end
end

for turn = 1, left do
  for _, one in ipairs(served) do
    local id = one.ids[turn]
    if id and rows[id] then
      lend(id, 0)
      if one.limited then redis.call('SADD', one.lane.slots, id) end
    end
  end
end

local next_at = nil
local function at(score)
  if score and (not next_at or score < next_at) then next_at = math.max(score, NOW) end
end
for _, one in ipairs(served) do
  if one.taken < one.offered then at(NOW) end
  at(tonumber(redis.call('ZRANGE', one.lane.timed, 0, 0, 'WITHSCORES')[2]))
end
at(tonumber(redis.call('ZRANGE', LEASES, 0, 0, 'WITHSCORES')[2]))
return { NOW, next_at or -1, 0, given }
