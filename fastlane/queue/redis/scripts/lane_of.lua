-- lane_of: the lane of an entry.
-- Keys: those of entries.lua.
-- Arguments: the id.
-- Answer: the lane's name; nil when there is no such entry.
local id = ARGV[FIRST_ARGUMENT]
read_entries({ id })
return entries[id] and entries[id].lane
