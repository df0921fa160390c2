-- Store an event and return its id, or false if its topic is finished.
local stream, state, recent = KEYS[3], KEYS[4], KEYS[5]
local buffer, finishes = ARGV[4], ARGV[5]

local last, lost, finished = look(stream, state)
if finished == '1' then
    return false
end
local id = string.format('%.0f-%.0f', now, number + 1)
redis.call('HSET', clock, 'newest', id, 'floor', floor)
redis.call('ZADD', topics, 0, id)
redis.call('ZREM', topics, redis.call('HGET', state, 'newest') or '')
redis.call('ZREMRANGEBYLEX', topics, '-', '(' .. cutoff)
redis.call('XADD', stream, id, unpack(ARGV, 6))
redis.call('XTRIM', stream, 'MINID', '=', cutoff)
local excess = redis.call('XLEN', stream) - history
if excess > 0 then
    local dropped = redis.call('XRANGE', stream, '-', '+', 'COUNT', excess)
    lost = dropped[excess][1]
    redis.call('XTRIM', stream, 'MAXLEN', '=', history)
end
redis.call('HSET', state, 'newest', id, 'lost', lost, 'finished', finishes)
redis.call('XADD', recent, 'MAXLEN', '~', buffer, id, 'life', life, unpack(ARGV, 6))
for _, key in ipairs({topics, stream, state, recent}) do
    redis.call('PEXPIRE', key, string.format('%.0f', history_ms + 1000))
end
return life .. '-' .. id
