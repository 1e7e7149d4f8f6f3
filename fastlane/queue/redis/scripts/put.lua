-- put: inserts entries, and moves those that are present with a lower revision. For a leased entry, a higher revision is kept until its
-- finish.
-- Keys: those of entries.lua; the entries' lanes are declared.
-- Arguments: for each entry its id, kind, lane, due, revision, priority, group, concurrency, expires (empty: never), as
-- entry_argument reads them.
-- Answer: for each entry '1' if it was absent and '0' if it was not, in one text; or LANE.
local ids = {}
for argument = FIRST_ARGUMENT, #ARGV, ENTRY_ARGUMENTS do ids[#ids + 1] = ARGV[argument] end
read_entries(ids)
for _, id in ipairs(ids) do
  if entries[id] then require_place(id) end
end
if lanes_answer() then return lanes_answer() end

local wakes, absent = false, {}
for argument = FIRST_ARGUMENT, #ARGV, ENTRY_ARGUMENTS do
  local id, new = ARGV[argument], entry_argument(argument)
  local entry = entries[id]
  absent[#absent + 1] = entry and '0' or '1'
  if entry and is_leased(id) then
    if new.revision > (entry.pending and entry.pending.revision or entry.revision) then
      entry.pending = new
      save_entry(id)
    end
  elseif not entry or new.revision > entry.revision then
    if entry then remove(id) end
    new.arrival = redis.call('INCR', ARRIVALS)
    entries[id] = new
    save_entry(id)
    wakes = insert(id, new.due) or wakes
  end
end
if unblock() or wakes then wake_workers() end
return table.concat(absent)
