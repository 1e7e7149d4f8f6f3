-- turns: what comes before an entry in a lane whose tasks take turns.
-- Keys: those of entries.lua; the lane and its turns are declared.
-- Arguments: the id, and the most tasks to name.
-- Answer: how many entries in line of its task come before it; how many other tasks have one in line; the first names of those, in the
-- order of their turns. Nil when the entry is not in line.
local id, most, name = ARGV[FIRST_ARGUMENT], tonumber(ARGV[FIRST_ARGUMENT + 1]), ARGV[FIRST_LANE]
read_entries({ id })
local score = entries[id] and redis.call('ZSCORE', lanes[name].ready, ready_member(id))
if not in_line(score) then return nil end
local task, turn = turn_of(entries[id]), turns[name]
local own = line_member(id, rank_of(tonumber(score)))
local names = {}
for _, other in ipairs(redis.call('ZRANGE', turn.tasks, 0, most)) do
  if other ~= task and #names < most then names[#names + 1] = other end
end
local others = redis.call('ZCARD', turn.tasks) - (redis.call('ZSCORE', turn.tasks, task) and 1 or 0)
return { redis.call('ZLEXCOUNT', turn.line, '[' .. task .. '\0', '(' .. own), others, names }
