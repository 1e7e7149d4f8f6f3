-- wipe: removes everything of this installation.
-- Keys: those of entries.lua; every lane that was ever used is declared; then the keys of the workers' reports and of the check.
-- Arguments: none.
-- Answer: how many keys were removed, or LANE.
for _, lane in ipairs(redis.call('SMEMBERS', LANES)) do need(lane) end
if undeclared() then return undeclared() end
return redis.call('UNLINK', unpack(KEYS))
