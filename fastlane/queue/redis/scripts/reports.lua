-- reports: the reports of all live workers.
-- Keys: those of entries.lua; then workers and reports, as in announce.
-- Arguments: none.
-- Answer: the names of at most 1,000 live workers, and all fields of reports with their values.
local WORKERS, REPORTS, MOST_REPORTS = KEYS[FIRST_KEY], KEYS[FIRST_KEY + 1], 1000
local alive = redis.call('ZRANGEBYSCORE', WORKERS, '(' .. string.format('%.0f', NOW), '+inf', 'LIMIT', 0, MOST_REPORTS)
if #alive == 0 then return { alive, {} } end
return { alive, redis.call('HGETALL', REPORTS) }
