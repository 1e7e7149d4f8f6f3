-- reports: the reports of all workers whose time is not over.
-- Keys: those of entries.lua, then workers and reports, as announce has them.
-- Arguments: none.
-- Answer: the reports as JSON, at most 1,000.
local WORKERS, REPORTS, MOST = KEYS[OWN], KEYS[OWN + 1], 1000
local alive = redis.call('ZRANGEBYSCORE', WORKERS, '(' .. string.format('%.0f', NOW), '+inf', 'LIMIT', 0, MOST)
if #alive == 0 then return {} end
return redis.call('HMGET', REPORTS, unpack(alive))
