-- audit: looks for the loss of a key, or a change of one by somebody else: what the sets say of each entry must agree. What is found
-- condemns the data: the generation is replaced, so nothing is claimed until the queue is rebuilt.
-- Keys: those of entries.lua; every lane that was ever used is declared.
-- Arguments: the generation; the page to begin with (part ':' lane ':' cursor; empty: the first).
-- Answer: the page to go on with (empty: that was the last), what is wrong (empty: nothing), and 1 if from that page on comes only what
-- waits, or else 0; or LANE.
local generation, first = ARGV[FIRST_ARGUMENT], ARGV[FIRST_ARGUMENT + 1]
local names = redis.call('SMEMBERS', LANES)
for _, name in ipairs(names) do require_lane(name) end
if lanes_answer() then return lanes_answer() end
if redis.call('GET', GENERATION) ~= generation then return { '', '', 0 } end

-- How many members were looked at, and where the scan of the current part is.
local looked, cursor = 0, '0'

local function page(command, key)
  local following, members = unpack(redis.call(command, key, cursor, 'COUNT', MOST))
  cursor, looked = following, looked + #members
  return members
end

-- The ids of a page of a sorted set, read into ``entries``; ``pattern`` finds an id in a member.
local function ids_of(key, pattern)
  local members, ids = page('ZSCAN', key), {}
  for position = 1, #members, 2 do ids[#ids + 1] = string.match(members[position], pattern) end
  read_entries(ids)
  return ids
end

-- Whether an entry holds a slot of its lane while it is leased.
local function takes_slot(entry)
  return entry.lane ~= SLOTLESS and not entry.ended
end

local function check_totals()
  local places, waiting = redis.call('ZCARD', LEASES), 0
  for _, lane in pairs(lanes) do
    local blocked = redis.call('ZCARD', lane.waiting)
    waiting = waiting + blocked
    places = places + redis.call('ZCARD', lane.timed) + redis.call('ZCARD', lane.ready) + blocked
  end
  local count, blocked = redis.call('HLEN', ENTRIES), redis.call('ZCARD', BLOCKED)
  if count ~= places then return string.format('%d entries are in %d places', count, places) end
  if blocked ~= waiting then return string.format('%d entries are blocked, and %d wait for that', blocked, waiting) end
end

local function check_lease(id)
  local entry = entries[id]
  if not entry then return 'a lease is without its entry: ' .. id end
  if not lanes[entry.lane] then return 'a leased entry is in an unknown lane: ' .. id end
  local has_slot = redis.call('SISMEMBER', lanes[entry.lane].slots, id) == 1
  if takes_slot(entry) ~= has_slot then return 'the slot of a leased entry is wrong: ' .. id end
  if has_slot and entry.group ~= '' and not redis.call('ZSCORE', GROUPS, entry.group .. '\0' .. id) then
    return 'a leased entry is missing in its group: ' .. id
  end
end

local function check_leases()
  for _, id in ipairs(ids_of(LEASES, '.*')) do
    local wrong = check_lease(id)
    if wrong then return wrong end
  end
end

local function check_groups()
  for _, id in ipairs(ids_of(GROUPS, '%Z*$')) do
    if not entries[id] or not takes_slot(entries[id]) or not is_leased(id) then return 'a group has a member that is not leased: ' .. id end
  end
end

local function check_slots(name)
  local ids = page('SSCAN', lanes[name].slots)
  read_entries(ids)
  for _, id in ipairs(ids) do
    if not entries[id] or entries[id].lane ~= name or not is_leased(id) then return 'a slot is held by what is not leased: ' .. id end
  end
end

-- What waits is known to be in one place by the totals. This is about the times at which it expires: a lane that has any of those has
-- not lost them.
local function check_waiting(name, part)
  if redis.call('EXISTS', lanes[name].expiries) == 1 then
    cursor = '0'
    return nil
  end
  for _, id in ipairs(ids_of(lanes[name][part], part == 'ready' and '^%d+:(.*)$' or '.*')) do
    if entries[id] and entries[id].expires then return 'an entry is missing among those that expire: ' .. id end
  end
end

local parts, at = { { check_totals, 'totals', '' }, { check_leases, 'leases', '' }, { check_groups, 'groups', '' } }, 1
table.sort(names)
for _, name in ipairs(names) do parts[#parts + 1] = { check_slots, 'slots', name } end
local rest = #parts + 1
for _, name in ipairs(names) do
  for _, part in ipairs({ 'timed', 'ready', 'waiting' }) do parts[#parts + 1] = { check_waiting, part, name } end
end
if first ~= '' then
  local part, name, from = string.match(first, '^(.-):(.*):(.-)$')
  cursor, at = from, #parts + 1
  for number, known in ipairs(parts) do
    if known[2] == part and known[3] == name then at = number end
  end
end

local wrong
for _ = 1, MOST do
  if at > #parts or looked >= MOST then break end
  wrong = parts[at][1](parts[at][3], parts[at][2])
  if wrong then break end
  if cursor == '0' then at = at + 1 end
end
if wrong then
  redis.call('SET', GENERATION, generation .. ', damaged')
  wake_workers()
  return { '', wrong, 0 }
end
if at > #parts then return { '', '', 0 } end
return { parts[at][2] .. ':' .. parts[at][3] .. ':' .. cursor, '', at >= rest and 1 or 0 }
