-- restore: puts back entries that were under way when the queue was lost, as leases that have run out. An entry that is leased stays so.
-- Keys: those of entries.lua; the entries' lanes are declared.
-- Arguments: how many of the declared lanes, the first ones, have slots; then for each entry the arguments of put.
-- Answer: 'OK', or LANE.
local FIRST_ENTRY = FIRST_ARGUMENT + 1
local ids, has_slots = {}, {}
for number = 1, tonumber(ARGV[FIRST_ARGUMENT]) do has_slots[ARGV[FIRST_LANE - 1 + number]] = true end
for argument = FIRST_ENTRY, #ARGV, ENTRY_ARGUMENTS do ids[#ids + 1] = ARGV[argument] end
read_entries(ids)
for _, id in ipairs(ids) do
  if entries[id] then require_place(id) end
end
if lanes_answer() then return lanes_answer() end

for argument = FIRST_ENTRY, #ARGV, ENTRY_ARGUMENTS do
  local id, new = ARGV[argument], entry_argument(argument)
  local entry = entries[id]
  if not entry or not is_leased(id) then
    if entry then
      remove(id)
      new.revision = math.max(new.revision, entry.revision)
    end
    new.arrival = redis.call('INCR', ARRIVALS)
    entries[id] = new
    save_entry(id)
    redis.call('SADD', LANES, new.lane)
    redis.call('ZADD', LEASES, NOW, id)
    if has_slots[new.lane] then
      redis.call('SADD', lanes[new.lane].slots, id)
      if new.group ~= '' then redis.call('ZADD', GROUPS, 0, new.group .. '\0' .. id) end
    end
  end
end
unblock()
wake_workers()
return 'OK'
