-- Return the newest id, the id up to which topics without a state are lost, and the recent events
-- after a position, as far as they fit into a page.
local limit, position = tonumber(ARGV[5]), ARGV[6]

local events = {}
repeat
    local batch = redis.call('XRANGE', recent, '(' .. position, '+', 'COUNT', 10)
    for _, event in ipairs(batch) do
        if limit > 0 then
            table.insert(events, event)
            limit = limit - size(event[2])
            position = event[1]
        end
    end
until limit <= 0 or #batch < 10
return {life .. '-' .. newest, life .. '-' .. floor, events}
