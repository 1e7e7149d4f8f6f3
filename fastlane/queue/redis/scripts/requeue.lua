-- requeue: gives a leased entry back, to be claimed from a given time on, and frees its slot. A put that came in between takes precedence;
-- an entry that must be stopped since its claim, or has expired, can be claimed at once, unless the time is strict. An owner that got the
-- stop with its claim has looked at what must be stopped, and names the time all the same. Unblocks entries that waited for its group.
-- Keys: those of entries.lua; the lane to go to is declared.
-- Arguments: owner, id, due, the lane to go to (empty: its own), 1 for a strict time, or 0.
-- Answer: 1, or 0 when the lease is not the owner's, or LANE.
local owner, id = ARGV[FIRST_ARGUMENT], ARGV[FIRST_ARGUMENT + 1]
local due, lane, strict = tonumber(ARGV[FIRST_ARGUMENT + 2]), ARGV[FIRST_ARGUMENT + 3], ARGV[FIRST_ARGUMENT + 4] == '1'
read_entries({ id })
local entry = entries[id]
if not entry or entry.owner ~= owner or not is_leased(id) then return 0 end
require_lane(entry.lane)
require_blocked_lanes(id)
if entry.pending then require_lane(entry.pending.lane) end
if lanes_answer() then return lanes_answer() end

local wakes = end_lease(id)
if entry.pending then
  due = apply_pending(id)
else
  entry.owner = ''
  if lane ~= '' then entry.lane = lane end
  if strict and entry.expires then entry.expires = math.max(entry.expires, due) end
  if entry.stop and entry.stop ~= GIVEN and not strict then due = NOW end
end
save_entry(id)
wakes = insert(id, due) or wakes
if unblock() or wakes then wake_workers() end
return 1
