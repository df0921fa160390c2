-- Store events and return their ids, or false if their topic is finished.
local topic, finishes = ARGV[5], ARGV[6]
local history, history_bytes = tonumber(ARGV[7]), tonumber(ARGV[8])
local recent_bytes = math.max(history_bytes / 4, 1048576)
local topic_bytes = 1000

-- Maximum number of evictions in a call, since the script blocks Redis: more than it adds.
local evictions = 1000

local function save(topic, state)
    total = total + state.bytes - state.counted
    if state.bytes == 0 then
        redis.call('DEL', prefix .. topic)
        redis.call('HDEL', states, topic)
        redis.call('ZREM', heads, topic)
        floor = state.newest > floor and state.newest or floor
        return
    end
    state.counted = state.bytes
    local bytes = string.format('%.0f', state.bytes)
    local packed = table.concat({state.newest, state.lost, state.finished, bytes}, ' ')
    redis.call('HSET', states, topic, packed)
end

local function drop_oldest(topic, state)
    local stream = prefix .. topic
    local oldest, next = unpack(redis.call('XRANGE', stream, '-', '+', 'COUNT', 2))
    if not next then
        state.bytes = 0
        return
    end
    redis.call('XDEL', stream, oldest[1])
    redis.call('ZADD', heads, string.sub(next[1], 15), topic)
    state.bytes = state.bytes - size(oldest[2])
    if oldest[1] > state.lost then
        state.lost = oldest[1]
    end
end

local stream, state = prefix .. topic, load(topic)
if state.finished == '1' then
    return false
end
if state.bytes == 0 then
    redis.call('DEL', stream)
    redis.call('ZADD', heads, number + 1, topic)
    state.bytes = topic_bytes
end
if redis.call('EXISTS', recent) == 0 then
    recent_total = 0
end
local ids = {}
for i = 9, #ARGV, 2 do
    number = number + 1
    newest = string.format('%.0f-%.0f', now, number)
    table.insert(ids, life .. '-' .. newest)
    local event = {'topic', topic, 'data', ARGV[i], 'name', ARGV[i + 1], 'last', finishes}
    redis.call('XADD', stream, newest, unpack(event))
    redis.call('XADD', recent, newest, 'life', life, unpack(event))
    state.bytes = state.bytes + size(event)
    evictions = evictions + size(event) / 100
    recent_total = recent_total + size({'life', life, unpack(event)})
end
state.newest, state.finished = newest, finishes
-- A finished topic keeps its last event, and is known by it.
for _ = 1, redis.call('XLEN', stream) - math.max(history, tonumber(finishes)) do
    drop_oldest(topic, state)
end
save(topic, state)

-- Every process reads the recent events: another copy, which takes up to a quarter more.
local length = redis.call('XLEN', recent)
while length > #ids and recent_total > recent_bytes do
    local oldest = redis.call('XRANGE', recent, '-', '+', 'COUNT', 1)[1]
    redis.call('XDEL', recent, oldest[1])
    recent_total = recent_total - size(oldest[2])
    length = length - 1
end

-- Evict the oldest events of all topics: those that expired or take too many bytes.
for _ = 1, evictions do
    local topic, number = unpack(redis.call('ZRANGE', heads, 0, 0, 'WITHSCORES'))
    local state = topic and load(topic)
    if not topic or (total <= history_bytes and number > string.sub(state.lost, 15)) then
        break
    end
    if state.bytes > 0 then
        drop_oldest(topic, state)
    end
    save(topic, state)
end

redis.call('HSET', clock, 'newest', newest, 'floor', floor)
redis.call('HSET', clock, 'total', total, 'recent_total', recent_total)
for _, key in ipairs({stream, heads, states, recent}) do
    local milliseconds = history_ms + (key == stream and 500 or 1000)
    if redis.call('PTTL', key) < milliseconds then
        redis.call('PEXPIRE', key, string.format('%.0f', milliseconds))
    end
end
return ids
