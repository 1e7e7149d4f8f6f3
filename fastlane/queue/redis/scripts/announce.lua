-- announce: keeps a worker's report until its time is over, and drops other reports whose time is.
-- Keys: those of entries.lua; then workers (sorted set: name -> deadline) and reports (hash: name -> JSON).
-- Arguments: the worker's name, how long to keep the report in milliseconds, the report.
-- Answer: 'OK'.
local WORKERS, REPORTS, MOST_DROPPED = KEYS[FIRST_KEY], KEYS[FIRST_KEY + 1], 64
local name, ttl, report = ARGV[FIRST_ARGUMENT], tonumber(ARGV[FIRST_ARGUMENT + 1]), ARGV[FIRST_ARGUMENT + 2]
redis.call('ZADD', WORKERS, NOW + ttl, name)
redis.call('HSET', REPORTS, name, report)
local gone = redis.call('ZRANGEBYSCORE', WORKERS, '-inf', NOW, 'LIMIT', 0, MOST_DROPPED)
if #gone > 0 then
  redis.call('ZREM', WORKERS, unpack(gone))
  redis.call('HDEL', REPORTS, unpack(gone))
end
return 'OK'
