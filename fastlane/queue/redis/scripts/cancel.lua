-- cancel: removes an entry that nobody has leased; marks a leased one to be stopped, and tells its owner. One that was put with a higher
-- revision than is given stays as it is.
-- Keys: those of entries.lua.
-- Arguments: id, the highest revision that may go (empty: any).
-- Answer: 'removed', 'told', 'absent', or LANE.
local id, most = ARGV[FIRST], tonumber(ARGV[FIRST + 1])
fetch({ id })
local row = rows[id]
if not row or (most and (row.pending and row.pending[1] or row.revision) > most) then return 'absent' end
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
