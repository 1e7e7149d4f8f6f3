-- requeue: gives a leased entry back, to be claimed from a moment on, and frees its slot. What was put meanwhile goes before; what
-- is to be stopped can be claimed at once. Unblocks those that waited for its group.
-- Keys: those of entries.lua; the lane to go to is declared.
-- Arguments: owner, id, due, the lane to go to (empty: its own).
-- Answer: 1, or 0 when the lease is not the owner's, or LANE.
local id, due, lane = ARGV[FIRST + 1], tonumber(ARGV[FIRST + 2]), ARGV[FIRST + 3]
fetch({ id })
local row = rows[id]
if not row or row.owner ~= ARGV[FIRST] or not leased(id) then return 0 end
need(row.lane)
need_group(id)
if row.pending then need(row.pending[3]) end
if undeclared() then return undeclared() end

local sooner = unlease(id)
if row.pending then
  due = renewed(id)
else
  row.owner = ''
  if lane ~= '' then row.lane = lane end
  if row.stop then due = NOW end
end
save(id)
sooner = place(id, due) or sooner
if unblock() or sooner then wake() end
return 1
