-- finish: removes entries wherever they stand and frees their slots, but for those that were put with a higher revision than was
-- worked on: these stay, or go to where that put wanted them. Unblocks those that waited for their group, in their order.
-- Keys: those of entries.lua.
-- Arguments: for each entry its id and the revision that was worked on.
-- Answer: 'OK', or LANE.
local ids = {}
for at = FIRST, #ARGV, 2 do ids[#ids + 1] = ARGV[at] end
fetch(ids)
for at = FIRST, #ARGV, 2 do
  local row = rows[ARGV[at]]
  if row and row.revision <= tonumber(ARGV[at + 1]) then
    need(row.lane)
    need_group(ARGV[at])
    if row.pending then need(row.pending[3]) end
  end
end
if undeclared() then return undeclared() end

local sooner = false
for at = FIRST, #ARGV, 2 do
  local id, revision = ARGV[at], tonumber(ARGV[at + 1])
  local row = rows[id]
  if row and row.revision <= revision then
    if leased(id) then
      sooner = unlease(id) or sooner
    else
      displace(id)
    end
    if row.pending and row.pending[1] > revision then
      local due = renewed(id)
      save(id)
      sooner = place(id, due) or sooner
    else
      redis.call('HDEL', ENTRIES, id)
      rows[id] = nil
    end
  end
end
if unblock() or sooner then wake() end
return 'OK'
