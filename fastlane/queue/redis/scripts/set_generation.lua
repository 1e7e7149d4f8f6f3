-- set_generation: sets the generation that claims must name, and wakes the workers.
-- Keys: those of entries.lua.
-- Arguments: the generation, and the one that the queue must be of until then (empty: any, or none).
-- Answer: 1, or 0 when the queue is of another generation.
local generation, before = ARGV[FIRST_ARGUMENT], ARGV[FIRST_ARGUMENT + 1]
if before ~= '' and redis.call('GET', GENERATION) ~= before then return 0 end
redis.call('SET', GENERATION, generation)
wake_workers()
return 1
