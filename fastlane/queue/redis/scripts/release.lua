-- release: ends an owner's leases now and keeps their slots, so that others take the entries over.
-- Keys: those of entries.lua.
-- Arguments: owner, then the ids.
-- Answer: how many leases were ended.
local owner, ids, ended = ARGV[FIRST_ARGUMENT], {}, 0
for argument = FIRST_ARGUMENT + 1, #ARGV do ids[#ids + 1] = ARGV[argument] end
read_entries(ids)
for _, id in ipairs(ids) do
  local entry = entries[id]
  if entry and entry.owner == owner and is_leased(id) then
    entry.owner = ''
    save_entry(id)
    redis.call('ZADD', LEASES, NOW, id)
    ended = ended + 1
  end
end
if ended > 0 then wake_workers() end
return ended
