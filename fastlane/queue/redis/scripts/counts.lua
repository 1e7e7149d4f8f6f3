-- counts: how many entries of each declared lane are ready, timed, hold a slot, and are blocked by their group.
-- Keys: those of entries.lua.
-- Arguments: none.
-- Answer: four numbers for each lane.
local answer = {}
for number = 1, DECLARED do
  local lane = lanes[ARGV[FIRST_LANE - 1 + number]]
  answer[#answer + 1] = redis.call('ZCARD', lane.ready)
  answer[#answer + 1] = redis.call('ZCARD', lane.timed)
  answer[#answer + 1] = redis.call('SCARD', lane.slots)
  answer[#answer + 1] = redis.call('ZCARD', lane.waiting)
end
return answer
