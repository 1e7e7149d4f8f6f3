-- cancel: removes an entry that is not leased; marks a leased one to be stopped, and notifies its owner. An entry whose revision is higher
-- than the given one stays as it is.
-- Keys: those of entries.lua.
-- Arguments: id, the highest revision that may be cancelled (empty: any).
-- Answer: 'removed', 'notified', 'absent', or LANE.
local id, highest = ARGV[FIRST_ARGUMENT], tonumber(ARGV[FIRST_ARGUMENT + 1])
read_entries({ id })
local entry = entries[id]
if not entry or (highest and (entry.pending and entry.pending.revision or entry.revision) > highest) then return 'absent' end
if is_leased(id) then
  entry.stop, entry.pending = true, nil
  save_entry(id)
  redis.call('PUBLISH', CHANNEL, 'stop:' .. id)
  return 'notified'
end
require_place(id)
if lanes_answer() then return lanes_answer() end
remove(id)
redis.call('HDEL', ENTRIES, id)
if unblock() then wake_workers() end
return 'removed'
