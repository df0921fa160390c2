-- Renew the leases of runs. Return the ids of those that have been ended, and of expired leases.
local leases, prefix, lease = KEYS[1], ARGV[1], ARGV[2]

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local ended = {}
for i = 3, #ARGV do
    local id, run = ARGV[i], prefix .. ARGV[i]
    local status = redis.call('HGET', run, 'status')
    if not status then
        -- Redis has lost the run.
        redis.call('HSET', run, 'id', id, 'status', 'running')
    elseif status ~= 'running' then
        table.insert(ended, id)
    end
    redis.call('ZADD', leases, now + lease, id)
end
return {ended, redis.call('ZRANGEBYSCORE', leases, '-inf', now, 'LIMIT', 0, 100)}
