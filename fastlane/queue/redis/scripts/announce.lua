-- announce: keeps a worker's report until its time is over, and drops those whose time is.
-- Keys: those of entries.lua, then workers (sorted set: name -> deadline) and reports (hash: name -> JSON).
-- Arguments: the worker's name, how long the report is to be kept in milliseconds, the report.
-- Answer: 'OK'.
local WORKERS, REPORTS, DROPPED = KEYS[OWN], KEYS[OWN + 1], 64
local name = ARGV[FIRST]
redis.call('ZADD', WORKERS, NOW + tonumber(ARGV[FIRST + 1]), name)
redis.call('HSET', REPORTS, name, ARGV[FIRST + 2])
local gone = redis.call('ZRANGEBYSCORE', WORKERS, '-inf', NOW, 'LIMIT', 0, DROPPED)
if #gone > 0 then
  redis.call('ZREM', WORKERS, unpack(gone))
  redis.call('HDEL', REPORTS, unpack(gone))
end
return 'OK'
