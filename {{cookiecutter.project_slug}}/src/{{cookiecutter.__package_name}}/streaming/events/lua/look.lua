-- Return the newest id, whether `after` is a known id, and the states of topics.
local after = ARGV[5]

local is_known = string.sub(after, 1, 21) == life and string.sub(after, 23) <= newest
local found = {}
for i = 6, #ARGV do
    local state = load(ARGV[i])
    table.insert(found, {state.newest, state.lost, state.finished})
end
return {life .. '-' .. newest, is_known and 1 or 0, found}
