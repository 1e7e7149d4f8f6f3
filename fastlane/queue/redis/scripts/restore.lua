-- restore: puts back entries that were under way when the queue was lost, as leases that have run out. One that is leased stays so.
-- Keys: those of entries.lua; the entries' lanes are declared.
-- Arguments: how many of the declared lanes, the first ones, have slots to be held; then for each entry what put is told of it.
-- Answer: 'OK', or LANE.
local ids, slotted = {}, {}
for number = 1, tonumber(ARGV[FIRST]) do slotted[ARGV[3 + number]] = true end
for at = FIRST + 1, #ARGV, TOLD do ids[#ids + 1] = ARGV[at] end
fetch(ids)
for _, id in ipairs(ids) do
  if rows[id] then need(rows[id].lane) end
end
if undeclared() then return undeclared() end

for at = FIRST + 1, #ARGV, TOLD do
  local id, new = ARGV[at], told(at)
  local row = rows[id]
  if not row or not leased(id) then
    if row then
      displace(id)
      new.revision = math.max(new.revision, row.revision)
    end
    new.arrival = redis.call('INCR', ARRIVALS)
    rows[id] = new
    save(id)
    redis.call('SADD', LANES, new.lane)
    redis.call('ZADD', LEASES, NOW, id)
    if slotted[new.lane] then
      redis.call('SADD', lanes[new.lane].slots, id)
      if new.group ~= '' then redis.call('ZADD', GROUPS, 0, new.group .. '\0' .. id) end
    end
  end
end
unblock()
wake()
return 'OK'
