-- cancel: removes an entry that nobody has leased; marks a leased one to be stopped, and tells its owner.
-- Keys: those of entries.lua.
-- Arguments: id.
-- Answer: 'removed', 'told', 'absent', or LANE.
local id = ARGV[FIRST]
fetch({ id })
local row = rows[id]
if not row then return 'absent' end
if leased(id) then
  row.stop, row.pending = true, nil
  save(id)
  redis.call('PUBLISH', CHANNEL, 'stop:' .. id)
  return 'told'
end
need(row.lane)
if undeclared() then return undeclared() end
displace(id)
redis.call('HDEL', ENTRIES, id)
if unblock() then wake() end
return 'removed'
