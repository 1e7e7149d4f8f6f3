-- restore: puts back entries that were under way when the queue was lost, as leases that have run out. One that is leased stays so.
-- Keys: those of entries.lua; the entries' lanes are declared.
-- Arguments: for each entry its id, kind, lane, revision, priority, and 1 when it holds a slot (0: it does not).
-- Answer: 'OK', or LANE.
local ids = {}
for at = FIRST, #ARGV, 6 do ids[#ids + 1] = ARGV[at] end
fetch(ids)
for _, id in ipairs(ids) do
  if rows[id] then need(rows[id].lane) end
end
if undeclared() then return undeclared() end

for at = FIRST, #ARGV, 6 do
  local id, lane = ARGV[at], ARGV[at + 2]
  local revision, priority = tonumber(ARGV[at + 3]), tonumber(ARGV[at + 4])
  local row = rows[id]
  if not row or not leased(id) then
    if row then
      displace(id)
      revision = math.max(revision, row.revision)
    end
    local arrival = redis.call('INCR', ARRIVALS)
    rows[id] = { kind = ARGV[at + 1], lane = lane, priority = priority, revision = revision, arrival = arrival, owner = '', stop = false }
    save(id)
    redis.call('SADD', LANES, lane)
    redis.call('ZADD', LEASES, NOW, id)
    if ARGV[at + 5] == '1' then redis.call('SADD', lanes[lane].slots, id) end
  end
end
wake()
return 'OK'
