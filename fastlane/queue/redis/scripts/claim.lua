-- claim: leases entries to an owner: first those of any lane whose lease ran out; then, without slots, those of the declared lanes whose
-- moment to start is over; then the best ready ones of the lanes to serve with a free slot and room in their group. One whose group is
-- full is put aside.
-- Keys: those of entries.lua; the lanes to serve and those that are only watched are declared, in the order in which they take turns.
-- Then pauses (hash: a paused lane's name -> '1'; '' -> the revision of what was said): a paused lane is only watched.
-- Arguments: generation, owner, how many (at most 256), the lease in milliseconds, then each declared lane's limit (empty: none;
-- 'watch': it is not served).
-- An id that has no entry (a server that evicts keys) is dropped where it is met.
-- Answer: now, the next moment at which there may be more (-1: not by time), 1 when the generation is another (0: it is not), and
-- for each lease its id, kind, lane, revision, 1 when it is taken over, 1 when it is to be stopped, 1 when its moment is over.
local owner, left, lease = ARGV[FIRST + 1], tonumber(ARGV[FIRST + 2]), tonumber(ARGV[FIRST + 3])
local FEW = 16
if redis.call('GET', GEN) ~= ARGV[FIRST] then return { NOW, -1, 1, {}, MICROS } end

local paused = DECLARED > 0 and redis.call('HMGET', KEYS[OWN], unpack(ARGV, 4, 3 + DECLARED)) or {}
local given, held, served, all = {}, {}, {}, {}
for number = 1, DECLARED do
  local name, limit = ARGV[3 + number], ARGV[FIRST + 3 + number]
  all[number] = { name = name, keys = lanes[name], limit = tonumber(limit), spent = {} }
  if limit ~= 'watch' and not paused[number] then served[#served + 1] = all[number] end
end
-- What a claim may look at, and make ready, of one lane: each has its share, so that none waits for another's backlog.
local SHARE = math.max(1, math.floor(MOST / math.max(1, #served)))

local function lend(id, resume)
  local row = rows[id]
  row.owner = owner
  save(id)
  redis.call('ZADD', LEASES, NOW + lease, id)
  for _, value in ipairs({ id, row.kind, row.lane, row.revision, resume, row.stop and 1 or 0, row.ended and 1 or 0 }) do
    given[#given + 1] = value
  end
  left = left - 1
end

local expired = redis.call('ZRANGEBYSCORE', LEASES, '-inf', NOW, 'LIMIT', 0, left)
fetch(expired)
for _, id in ipairs(expired) do
  if rows[id] then lend(id, 1) else redis.call('ZREM', LEASES, id) end
end

-- Leases, to be ended, at most so many of those whose moment is over.
local function end_late(most)
  for _, one in ipairs(all) do
    local late = most > 0 and redis.call('ZRANGEBYSCORE', one.keys.expiries, '-inf', NOW, 'LIMIT', 0, most) or {}
    fetch(late)
    for _, id in ipairs(late) do
      if rows[id] then
        displace(id)
        rows[id].ended = true
        lend(id, 0)
        most = most - 1
      else
        redis.call('ZREM', one.keys.expiries, id)
      end
    end
  end
  unblock()
end

local function ripen(lane)
  local due = redis.call('ZRANGEBYSCORE', lane.timed, '-inf', NOW, 'WITHSCORES', 'LIMIT', 0, SHARE)
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

-- The next best of a lane, {id, member, score}, looked at ``few`` at a time; nil when there is none, or its share is looked at.
local function best(one, few)
  if one.at > #one.found then
    few = math.min(few, SHARE - #one.spent)
    one.found, one.at = {}, 1
    local found = few > 0 and redis.call('ZRANGE', one.keys.ready, #one.spent, #one.spent + few - 1, 'WITHSCORES') or {}
    local ids = {}
    for at = 1, #found, 2 do
      local id = string.sub(found[at], 14)
      ids[#ids + 1] = id
      one.found[#one.found + 1] = { id = id, member = found[at], score = found[at + 1] }
    end
    fetch(ids)
  end
  one.at = one.at + 1
  return one.found[one.at - 1]
end

local function full(row)
  if row.group == '' or row.concurrency == 0 then return false end
  held[row.group] = held[row.group] or holding(row.group)
  return held[row.group] >= row.concurrency
end

local function put_aside(one, next_one)
  redis.call('ZADD', one.keys.waiting, next_one.score, next_one.id)
  redis.call('ZADD', BLOCKED, 0, blocked_member(next_one.id, next_one.score))
end

local function hold(one, id, group)
  redis.call('SADD', one.keys.slots, id)
  if group ~= '' then
    redis.call('ZADD', GROUPS, 0, group .. '\0' .. id)
    if held[group] then held[group] = held[group] + 1 end
  end
end

-- Leases the best of a lane that may go, putting aside those before it whose group is full; answers whether there was one.
local function serve(one)
  for _ = 1, SHARE do
    local next_one = best(one, FEW)
    if not next_one then return false end
    one.spent[#one.spent + 1] = next_one.member
    local id, row = next_one.id, rows[next_one.id]
    if row and one.limit and not (row.expires and row.expires <= NOW) and full(row) then
      put_aside(one, next_one)
    elseif row then
      if row.expires then redis.call('ZREM', one.keys.expiries, id) end
      row.ended = row.expires ~= nil and row.expires <= NOW
      if one.limit and not row.ended then
        hold(one, id, row.group)
        one.free = one.free - 1
      end
      touch(row.group, one.name)
      lend(id, 0)
      return true
    end
  end
  return false
end

end_late(math.ceil(left / 2))
for _, one in ipairs(served) do
  ripen(one.keys)
  one.free = one.limit and math.max(0, one.limit - redis.call('SCARD', one.keys.slots)) or math.huge
  one.found, one.at = {}, 1
end

-- First as many of each lane as it gets when none is refused are looked at in one go; one each in turn, so that no lane starves.
local offers, budget, progress = {}, left, true
for place, one in ipairs(served) do offers[place], one.few = math.min(one.free, redis.call('ZCARD', one.keys.ready)), 0 end
while budget > 0 and progress do
  progress = false
  for place, one in ipairs(served) do
    if budget > 0 and one.few < offers[place] then one.few, budget, progress = one.few + 1, budget - 1, true end
  end
end
for place, one in ipairs(served) do
  if one.few > 0 then
    best(one, one.few)
    one.at = 1
  end
end
progress = true
while left > 0 and progress do
  progress = false
  for _, one in ipairs(served) do
    if left > 0 and one.free > 0 and serve(one) then progress = true end
  end
end
for _, one in ipairs(served) do
  if #one.spent > 0 then redis.call('ZREM', one.keys.ready, unpack(one.spent)) end
end
end_late(left)

local next_at = nil
local function at(score)
  if score and (not next_at or score < next_at) then next_at = math.max(score, NOW) end
end
local function first(key)
  return tonumber(redis.call('ZRANGE', key, 0, 0, 'WITHSCORES')[2])
end
for _, one in ipairs(served) do
  if one.free > 0 and redis.call('EXISTS', one.keys.ready) == 1 then at(NOW) end
  at(first(one.keys.timed))
end
for _, one in ipairs(all) do at(first(one.keys.expiries)) end
at(first(LEASES))
return { NOW, next_at or -1, 0, given, MICROS }
