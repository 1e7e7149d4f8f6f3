-- announce: keeps a worker's report until its time is over, and drops other reports whose time is. Of the hosts in a report only those come
-- that have changed since its last one.
-- Keys: those of entries.lua; then workers (sorted set: name -> deadline) and reports (hash: name -> the report without its hosts, as JSON;
-- name LF host -> that host, as JSON; name LF -> by which its last report is known).
-- Arguments: the worker's name, how long to keep the report in milliseconds, the report; by which the report is known that this one follows
-- (empty: it has all hosts), and this one; how many hosts are gone, then their names; then the name and the JSON of each changed host.
-- Answer: 'OK'; 'WHOLE' when Redis has another report: the hosts were left as they are, and a report with all of them has to follow.
local WORKERS, REPORTS, MOST_DROPPED, AT_ONCE, LONGEST = KEYS[FIRST_KEY], KEYS[FIRST_KEY + 1], 64, 1000, MINUTE
local name, ttl, report, before, number, gone = unpack(ARGV, FIRST_ARGUMENT, FIRST_ARGUMENT + 5)
-- A host's field begins with its worker's name and a line feed; no name contains one.
local first_gone, first_changed = FIRST_ARGUMENT + 6, FIRST_ARGUMENT + 6 + gone

local function drop_hosts(names)
  local fields = {}
  for _, field in ipairs(redis.call('HKEYS', REPORTS)) do
    local line = string.find(field, '\n', 1, true)
    if line and names[string.sub(field, 1, line - 1)] then fields[#fields + 1] = field end
  end
  for at = 1, #fields, AT_ONCE do redis.call('HDEL', REPORTS, unpack(fields, at, math.min(at + AT_ONCE - 1, #fields))) end
end

-- What is kept for longer was announced before Redis's clock was set back; a worker that is alive announces itself again.
local farthest = string.format('%.0f', NOW + LONGEST)
for _, one in ipairs(redis.call('ZRANGEBYSCORE', WORKERS, '(' .. farthest, '+inf', 'LIMIT', 0, AT_ONCE)) do
  redis.call('ZADD', WORKERS, farthest, one)
end
redis.call('ZADD', WORKERS, NOW + ttl, name)
redis.call('HSET', REPORTS, name, report)
local dropped = redis.call('ZRANGEBYSCORE', WORKERS, '-inf', NOW, 'LIMIT', 0, MOST_DROPPED)
if #dropped > 0 then
  local names = {}
  for _, one in ipairs(dropped) do names[one] = true end
  redis.call('ZREM', WORKERS, unpack(dropped))
  redis.call('HDEL', REPORTS, unpack(dropped))
  drop_hosts(names)
  if names[name] then return 'OK' end
end
if before == '' then
  drop_hosts({ [name] = true })
elseif redis.call('HGET', REPORTS, name .. '\n') ~= before then
  return 'WHOLE'
end
for at = first_gone, first_changed - 1 do redis.call('HDEL', REPORTS, name .. '\n' .. ARGV[at]) end
for at = first_changed, #ARGV, 2 do redis.call('HSET', REPORTS, name .. '\n' .. ARGV[at], ARGV[at + 1]) end
redis.call('HSET', REPORTS, name .. '\n', number)
return 'OK'
