-- oldest: for how long the entry of each declared lane that has waited longest has been due. It looks at those that no claim has seen yet,
-- and at the first ones in line, at most 256 of all lanes: one of a lower priority behind them may have waited longer.
-- Keys: those of entries.lua.
-- Arguments: none.
-- Answer: milliseconds for each lane; 0 where no entry waits for a slot.
local answer, each = {}, math.max(1, math.floor(MOST / math.max(1, DECLARED)))
for number = 1, DECLARED do
  local lane = lanes[ARGV[FIRST_LANE - 1 + number]]
  local oldest = tonumber(redis.call('ZRANGE', lane.timed, 0, 0, 'WITHSCORES')[2] or NOW)
  local first, ids = redis.call('ZRANGE', lane.ready, 0, each - 1, 'WITHSCORES'), {}
  -- Those in line come behind those that are not yet, by score, and may have waited longer.
  if #first == 2 * each and not in_line(first[2 * each]) then
    local line = redis.call('ZRANGEBYSCORE', lane.ready, IN_LINE_FROM, '+inf', 'WITHSCORES', 'LIMIT', 0, each)
    for place = 1, #line do first[#first + 1] = line[place] end
  end
  for place = 1, #first, 2 do ids[#ids + 1] = string.sub(first[place], 14) end
  read_entries(ids)
  for place, id in ipairs(ids) do
    if entries[id] then oldest = math.min(oldest, rank_of(tonumber(first[2 * place])) + entries[id].priority * MINUTE) end
  end
  answer[#answer + 1] = math.max(0, NOW - oldest)
end
return answer
