-- wipe: removes everything of this installation, and says at once of which generation it is then.
-- Keys: those of entries.lua; every lane that was ever used is declared; then the keys of the workers' reports, of the check and of the pauses.
-- Arguments: the generation (empty: none).
-- Answer: how many keys were removed, or LANE.
for _, lane in ipairs(redis.call('SMEMBERS', LANES)) do need(lane) end
if undeclared() then return undeclared() end
local removed = redis.call('UNLINK', unpack(KEYS))
if ARGV[FIRST] ~= '' then redis.call('SET', GEN, ARGV[FIRST]) end
return removed
