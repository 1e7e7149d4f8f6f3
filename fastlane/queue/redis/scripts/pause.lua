-- pause: replaces the set of paused lanes, unless a newer one is known; wakes the workers, for the lanes that are served again.
-- Keys: those of entries.lua; then pauses, as in claim.
-- Arguments: the revision of the set, then the names of all paused lanes ('*': all that have slots).
-- Answer: 1, or 0 when the known set is as new.
local PAUSES, revision = KEYS[FIRST_KEY], tonumber(ARGV[FIRST_ARGUMENT])
if revision <= tonumber(redis.call('HGET', PAUSES, '') or 0) then return 0 end
redis.call('DEL', PAUSES)
redis.call('HSET', PAUSES, '', ARGV[FIRST_ARGUMENT])
for argument = FIRST_ARGUMENT + 1, #ARGV do redis.call('HSET', PAUSES, ARGV[argument], '1') end
wake_workers()
return 1
