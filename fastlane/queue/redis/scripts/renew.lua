-- renew: extends the leases that their owner still has.
-- Keys: those of entries.lua.
-- Arguments: generation, owner, the lease in milliseconds, then the ids.
-- Answer: for each id 'ok', 'lost', or 'stop' (it is still the owner's, and is to be stopped).
local owner, lease = ARGV[FIRST + 1], tonumber(ARGV[FIRST + 2])
local same = redis.call('GET', GEN) == ARGV[FIRST]
local ids, answer = {}, {}
for at = FIRST + 3, #ARGV do ids[#ids + 1] = ARGV[at] end
fetch(ids)
for place, id in ipairs(ids) do
  local row = rows[id]
  if same and row and row.owner == owner and leased(id) then
    redis.call('ZADD', LEASES, NOW + lease, id)
    answer[place] = row.stop and 'stop' or 'ok'
  else
    answer[place] = 'lost'
  end
end
return answer
