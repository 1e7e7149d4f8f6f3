-- reports: the reports of all live workers.
-- Keys: those of entries.lua; then workers and reports, as in announce.
-- Arguments: none.
-- Answer: the reports as JSON, at most 1,000.
local WORKERS, REPORTS, MOST_REPORTS = KEYS[FIRST_KEY], KEYS[FIRST_KEY + 1], 1000
local alive = redis.call('ZRANGEBYSCORE', WORKERS, '(' .. string.format('%.0f', NOW), '+inf', 'LIMIT', 0, MOST_REPORTS)
if #alive == 0 then return {} end
return redis.call('HMGET', REPORTS, unpack(alive))
