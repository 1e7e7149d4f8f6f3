-- finish: removes entries wherever they are, and frees their slots. An entry that was put with a higher revision than was worked on stays,
-- or goes to where that put wanted it. Unblocks entries that waited for a freed group, in their order.
-- Keys: those of entries.lua.
-- Arguments: for each entry its id, and the revision that was worked on.
-- Answer: 'OK', or LANE.
local ids, leased = {}, {}
for argument = FIRST_ARGUMENT, #ARGV, 2 do ids[#ids + 1] = ARGV[argument] end
read_entries(ids)
for argument = FIRST_ARGUMENT, #ARGV, 2 do
  local id, revision = ARGV[argument], tonumber(ARGV[argument + 1])
  local entry = entries[id]
  if entry and entry.revision <= revision then
    leased[id] = is_leased(id)
    if leased[id] then require_lane(entry.lane) else require_place(id) end
    require_blocked_lanes(id)
    if entry.pending then require_lane(entry.pending.lane) end
  end
end
if lanes_answer() then return lanes_answer() end

local wakes = false
for argument = FIRST_ARGUMENT, #ARGV, 2 do
  local id, revision = ARGV[argument], tonumber(ARGV[argument + 1])
  local entry = entries[id]
  if entry and entry.revision <= revision then
    if leased[id] then
      leased[id] = nil
      wakes = end_lease(id) or wakes
    else
      remove(id)
    end
    if entry.pending and entry.pending.revision > revision then
      local due = apply_pending(id)
      save_entry(id)
      wakes = insert(id, due) or wakes
    else
      redis.call('HDEL', ENTRIES, id)
      entries[id] = nil
    end
  end
end
if unblock() or wakes then wake_workers() end
return 'OK'
