-- put: inserts entries, moves those that are there with a lower revision, keeps a higher revision for the finish of a leased one.
-- Keys: those of entries.lua; the entries' lanes are declared.
-- Arguments: for each entry its id, kind, lane, due, revision, priority.
-- Answer: 'OK', or LANE.
local ids = {}
for at = FIRST, #ARGV, 6 do ids[#ids + 1] = ARGV[at] end
fetch(ids)
for _, id in ipairs(ids) do
  if rows[id] then need(rows[id].lane) end
end
if undeclared() then return undeclared() end

local sooner = false
for at = FIRST, #ARGV, 6 do
  local id, lane = ARGV[at], ARGV[at + 2]
  local due, revision, priority = tonumber(ARGV[at + 3]), tonumber(ARGV[at + 4]), tonumber(ARGV[at + 5])
  local row = rows[id]
  if row and leased(id) then
    if revision > (row.pending and row.pending[1] or row.revision) then
      row.pending = { revision, due, lane, priority }
      save(id)
    end
  elseif not row or revision > row.revision then
    if row then displace(id) end
    local arrival = redis.call('INCR', ARRIVALS)
    rows[id] = { kind = ARGV[at + 1], lane = lane, priority = priority, revision = revision, arrival = arrival, owner = '', stop = false }
    save(id)
    sooner = place(id, due) or sooner
  end
end
if sooner then wake() end
return 'OK'
