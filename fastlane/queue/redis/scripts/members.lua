-- members: a page of the entries of the declared lane: holding a slot, due later, ready, or waiting for their group. One that changes its
-- place meanwhile may be on two pages, or on none. Slots come first: who moves all to another lane must not exceed its limit meanwhile.
-- Keys: those of entries.lua.
-- Arguments: the page to begin with (number of the part ':' cursor; empty: the first).
-- Answer: the page to go on with (empty: that was the last), and the ids.
local lane = lanes[ARGV[FIRST_LANE]]
local PARTS = { { 'SSCAN', lane.slots }, { 'ZSCAN', lane.timed }, { 'ZSCAN', lane.ready }, { 'ZSCAN', lane.waiting } }
local READY = 3
local number, cursor = string.match(ARGV[FIRST_ARGUMENT], '^(%d+):(%d+)$')
number, cursor = tonumber(number or 1), cursor or '0'

local ids = {}
while number <= #PARTS and #ids == 0 do
  local command, key = unpack(PARTS[number])
  local following, members = unpack(redis.call(command, key, cursor, 'COUNT', MOST))
  for position = 1, #members, command == 'ZSCAN' and 2 or 1 do
    ids[#ids + 1] = number == READY and string.sub(members[position], 14) or members[position]
  end
  cursor = following
  if cursor == '0' then
    number = number + 1
  elseif #ids == 0 then
    break
  end
end
return { number > #PARTS and '' or number .. ':' .. cursor, ids }
