-- pause: says which lanes are not served, unless something newer was said before; wakes the workers, for those that are served again.
-- Keys: those of entries.lua, then pauses, as claim has it.
-- Arguments: the revision of what is said, then the names of all paused lanes.
-- Answer: 1, or 0 when what was said before is as new.
local PAUSES, revision = KEYS[OWN], tonumber(ARGV[FIRST])
if revision <= tonumber(redis.call('HGET', PAUSES, '') or 0) then return 0 end
redis.call('DEL', PAUSES)
redis.call('HSET', PAUSES, '', ARGV[FIRST])
for at = FIRST + 1, #ARGV do redis.call('HSET', PAUSES, ARGV[at], '1') end
wake()
return 1
