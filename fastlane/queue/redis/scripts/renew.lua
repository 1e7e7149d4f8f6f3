-- renew: extends the leases that their owner still holds.
-- Keys: those of entries.lua.
-- Arguments: generation, owner, the lease in milliseconds, then the ids.
-- Answer: for each id 'ok', 'lost', or 'stop' (the lease is still the owner's, and the entry must be stopped).
local generation, owner, lease = ARGV[FIRST_ARGUMENT], ARGV[FIRST_ARGUMENT + 1], tonumber(ARGV[FIRST_ARGUMENT + 2])
local same_generation = redis.call('GET', GENERATION) == generation
local ids, answer = {}, {}
for argument = FIRST_ARGUMENT + 3, #ARGV do ids[#ids + 1] = ARGV[argument] end
read_entries(ids)
for number, id in ipairs(ids) do
  local entry = entries[id]
  if same_generation and entry and entry.owner == owner and is_leased(id) then
    redis.call('ZADD', LEASES, NOW + lease, id)
    answer[number] = entry.stop and 'stop' or 'ok'
  else
    answer[number] = 'lost'
  end
end
return answer
