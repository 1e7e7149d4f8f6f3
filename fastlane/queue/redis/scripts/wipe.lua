-- wipe: removes everything of this installation but its tickets, and sets the generation in the same step.
-- Keys: those of entries.lua; every lane that was ever used is declared, and its turns; then workers, reports, check, pauses and store.
-- Arguments: the generation (empty: none).
-- Answer: how many keys were removed, or LANE.
for _, lane in ipairs(redis.call('SMEMBERS', LANES)) do
  require_lane(lane)
  if not turns[lane] then undeclared[lane .. TURNS] = true end
end
if lanes_answer() then return lanes_answer() end
local removed = redis.call('UNLINK', unpack(KEYS))
if ARGV[FIRST_ARGUMENT] ~= '' then redis.call('SET', GENERATION, ARGV[FIRST_ARGUMENT]) end
return removed
