-- adopt: moves entries to the lanes in which they belong now, after their pools were renamed or removed. One that waits keeps its rank, one
-- that is leased its lease and its slot. What is in the lane without slots stays there, because it was put there to end. What is leased
-- does not go there, because its slot would be lost.
-- Keys: those of entries.lua; the lanes to move to are declared.
-- Arguments: how many lanes to move from (0: from all), their names; then for each entry its id and the lane to move to.
-- Answer: how many were moved, or LANE.
local count = tonumber(ARGV[FIRST_ARGUMENT])
local FIRST_ENTRY = FIRST_ARGUMENT + 1 + count
local from, ids, moving, moved = {}, {}, {}, 0
for argument = FIRST_ARGUMENT + 1, FIRST_ENTRY - 1 do from[ARGV[argument]] = true end
for argument = FIRST_ENTRY, #ARGV, 2 do ids[#ids + 1] = ARGV[argument] end
read_entries(ids)
for argument = FIRST_ENTRY, #ARGV, 2 do
  local id, lane = ARGV[argument], ARGV[argument + 1]
  local entry = entries[id]
  if entry and entry.lane ~= lane and entry.lane ~= SLOTLESS and not entry.pending and (count == 0 or from[entry.lane]) then
    moving[#moving + 1] = { id = id, lane = lane }
    if is_leased(id) then require_lane(entry.lane) else require_place(id) end
  end
end
if lanes_answer() then return lanes_answer() end

for _, move in ipairs(moving) do
  if not is_leased(move.id) then
    move_waiting(move.id, move.lane)
    moved = moved + 1
  elseif move.lane ~= SLOTLESS then
    move_leased(move.id, move.lane)
    moved = moved + 1
  end
end
if unblock() or moved > 0 then wake_workers() end
return moved
