-- set_generation: says which generation this queue is of, and wakes the workers.
-- Keys: those of entries.lua.
-- Arguments: the generation, and the one that the queue must be of until then (empty: any, or none).
-- Answer: 1, or 0 when it is of another.
local generation, before = ARGV[FIRST], ARGV[FIRST + 1]
if before ~= '' and redis.call('GET', GEN) ~= before then return 0 end
redis.call('SET', GEN, generation)
wake()
return 1
