-- The beginning of all scripts: the clock of the data, and the states of topics.
local clock, heads, states, recent = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local prefix, history_ms, known, random = ARGV[1], tonumber(ARGV[2]), ARGV[3], ARGV[4]

local life, newest, floor, total, recent_total =
    unpack(redis.call('HMGET', clock, 'life', 'newest', 'floor', 'total', 'recent_total'))
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local number = 100000000000
if newest then
    -- The clock of the machine may be set back; ids must not go back.
    now = math.max(now, tonumber(string.sub(newest, 1, 13)))
    number = tonumber(string.sub(newest, 15))
end

-- Without data, or with less data than a process has already seen, a new life begins.
local is_behind = string.sub(known, 1, 21) == life and string.sub(known, 23) > newest
if not life or #life < 21 or is_behind then
    local start = life and math.max(now, string.sub(life, 1, 13) + 1) or now
    life = string.format('%.0f', start) .. random
    newest = string.format('%.0f-%.0f', now, number)
    floor = newest
    redis.call('HSET', clock, 'life', life, 'newest', newest, 'floor', floor)
end

-- The states expire after all that they describe.
if redis.call('EXISTS', states) == 0 then
    floor, total = newest, 0
end
total, recent_total = tonumber(total or 0), tonumber(recent_total or 0)

-- Events with an id before the cutoff are expired. Ids are compared as text of 13 digits.
local cutoff = string.format('%.0f', math.max(now - history_ms, 1e12))

-- Return the state of a topic: its events up to `lost` are lost, and the others take `bytes`, of
-- which `counted` are part of the total. Topics without events have no state of their own.
local function load(topic)
    local state = redis.call('HGET', states, topic)
    if not state then
        return {newest = floor, lost = floor, finished = '0', bytes = 0, counted = 0}
    end
    local last, lost, finished, counted = string.match(state, '(%S+) (%S+) (%S+) (%S+)')
    local stream, bytes = prefix .. topic, tonumber(counted)
    local expired = redis.call('XREVRANGE', stream, '(' .. cutoff .. '-0', '-', 'COUNT', 1)[1]
    if last < cutoff or redis.call('EXISTS', stream) == 0 then
        lost, finished, bytes = last, '0', 0
    elseif expired and expired[1] > lost then
        lost = expired[1]
    end
    return {newest = last, lost = lost, finished = finished, bytes = bytes, counted = counted}
end

-- Return the size of an entry of a stream in memory.
local function size(fields)
    local bytes = 100
    for _, field in ipairs(fields) do
        bytes = bytes + #field
    end
    return bytes
end
