-- Return the events of topics after their positions and up to `last`, oldest first, as far as they
-- fit into a page, and the ids up to which events are lost by now.
local limit, last = tonumber(ARGV[5]), ARGV[6]

local names, lost, fronts = {}, {}, {}
local function advance(i, position)
    fronts[i] = redis.call('XRANGE', prefix .. names[i], '(' .. position, last, 'COUNT', 1)[1]
end
for i = 7, #ARGV, 2 do
    table.insert(names, ARGV[i])
    table.insert(lost, load(ARGV[i]).lost)
    advance(#names, ARGV[i + 1])
end
local events = {}
while limit > 0 do
    local oldest
    for i, front in pairs(fronts) do
        if not oldest or front[1] < fronts[oldest][1] then
            oldest = i
        end
    end
    if not oldest then
        break
    end
    local event = fronts[oldest]
    table.insert(events, event)
    limit = limit - size(event[2])
    advance(oldest, event[1])
end
return {life, lost, events}
