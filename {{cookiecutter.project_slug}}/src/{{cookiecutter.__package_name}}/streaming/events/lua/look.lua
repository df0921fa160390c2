-- Return the newest id, whether `after` is a known id, and the states of topics.
local after, replay = ARGV[4], ARGV[5]

local is_known = string.sub(after, 1, 13) == life and string.sub(after, 15) <= newest
local start = cutoff
if is_known and string.sub(after, 15) > cutoff then
    start = '(' .. string.sub(after, 15)
end
local states = {}
for i = 3, #KEYS, 2 do
    local last, lost, finished = look(KEYS[i], KEYS[i + 1])
    local events = {}
    if replay == 'all' or (replay == 'finished' and finished == '1') then
        events = redis.call('XRANGE', KEYS[i], start, '+')
    end
    table.insert(states, {last, lost, finished, events})
end
return {life .. '-' .. newest, is_known and 1 or 0, states}
