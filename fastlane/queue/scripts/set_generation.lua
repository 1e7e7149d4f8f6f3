-- set_generation: says which generation this queue is of, and wakes the workers.
-- Keys: those of entries.lua.
-- Arguments: the generation.
-- Answer: 'OK'.
redis.call('SET', GEN, ARGV[FIRST])
wake()
return 'OK'
