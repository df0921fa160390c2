-- The beginning of both scripts: the clock of the data, and the state of a topic.
local clock, topics = KEYS[1], KEYS[2]
local history, history_ms, known = tonumber(ARGV[1]), tonumber(ARGV[2]), ARGV[3]

local life, newest, floor = unpack(redis.call('HMGET', clock, 'life', 'newest', 'floor'))
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local number = 100000000000
if newest then
    -- The clock of the machine may be set back; ids must not go back.
    now = math.max(now, tonumber(string.sub(newest, 1, 13)))
    number = tonumber(string.sub(newest, 15))
end

-- Without data, or with less data than a process has already seen, a new life begins.
if not life or (string.sub(known, 1, 13) == life and string.sub(known, 15) > newest) then
    life = string.format('%.0f', life and math.max(now, life + 1) or now)
    newest = string.format('%.0f-%.0f', now, number)
    floor = newest
    redis.call('HSET', clock, 'life', life, 'newest', newest, 'floor', floor)
end

-- Topics that expired are lost up to the floor; they have no state of their own any more.
local cutoff = string.format('%.0f', now - history_ms)
local expired = redis.call('ZREVRANGEBYLEX', topics, '(' .. cutoff, '-', 'LIMIT', 0, 1)
if redis.call('EXISTS', topics) == 0 then
    floor = newest
elseif expired[1] and expired[1] > floor then
    floor = expired[1]
end

-- Return the id of a topic's newest event, the id up to which events are lost, and if it is finished.
local function look(stream, state)
    local last, lost, finished = unpack(redis.call('HMGET', state, 'newest', 'lost', 'finished'))
    if not last or last < cutoff then
        return floor, floor, '0'
    end
    local old = redis.call('XREVRANGE', stream, '(' .. cutoff .. '-0', '-', 'COUNT', 1)
    if old[1] then
        lost = old[1][1]
    end
    return last, lost, finished
end
