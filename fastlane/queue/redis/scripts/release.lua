-- release: ends an owner's leases now and keeps their slots, for others to take over.
-- Keys: those of entries.lua.
-- Arguments: owner, then the ids.
-- Answer: how many leases were ended.
local owner, ids, ended = ARGV[FIRST], {}, 0
for at = FIRST + 1, #ARGV do ids[#ids + 1] = ARGV[at] end
fetch(ids)
for _, id in ipairs(ids) do
  local row = rows[id]
  if row and row.owner == owner and leased(id) then
    row.owner = ''
    save(id)
    redis.call('ZADD', LEASES, NOW, id)
    ended = ended + 1
  end
end
if ended > 0 then wake() end
return ended
