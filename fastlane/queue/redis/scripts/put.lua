-- put: inserts entries, moves those that are there with a lower revision, keeps a higher revision for the finish of a leased one.
-- Keys: those of entries.lua; the entries' lanes are declared.
-- Arguments: for each entry its id, kind, lane, due, revision, priority, group, concurrency, expires (empty: it does not).
-- Answer: 'OK', or LANE.
local ids = {}
for at = FIRST, #ARGV, TOLD do ids[#ids + 1] = ARGV[at] end
fetch(ids)
for _, id in ipairs(ids) do
  if rows[id] then need(rows[id].lane) end
end
if undeclared() then return undeclared() end

local sooner = false
for at = FIRST, #ARGV, TOLD do
  local id, new = ARGV[at], told(at)
  local row = rows[id]
  if row and leased(id) then
    if new.revision > (row.pending and row.pending[1] or row.revision) then
      row.pending = { new.revision, new.due, new.lane, new.priority, new.group, new.concurrency, new.expires or false }
      save(id)
    end
  elseif not row or new.revision > row.revision then
    if row then displace(id) end
    new.arrival = redis.call('INCR', ARRIVALS)
    rows[id] = new
    save(id)
    sooner = place(id, new.due) or sooner
  end
end
if unblock() or sooner then wake() end
return 'OK'
