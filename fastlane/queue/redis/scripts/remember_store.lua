-- remember_store: keeps how far the store has come, unless more is known of it, or the data belong to another store.
-- Keys: those of entries.lua; then store (hash: id, commits).
-- Arguments: the store's id, the number of its commits.
-- Answer: 1, or 0 when nothing was changed.
local STORE, id, commits = KEYS[FIRST_KEY], ARGV[FIRST_ARGUMENT], tonumber(ARGV[FIRST_ARGUMENT + 1])
local known = redis.call('HMGET', STORE, 'id', 'commits')
if known[1] and (known[1] ~= id or tonumber(known[2]) >= commits) then return 0 end
redis.call('HSET', STORE, 'id', id, 'commits', ARGV[FIRST_ARGUMENT + 1])
return 1
