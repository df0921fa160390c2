-- Renew the leases of runs. Return the ids of those that have been ended, and of expired leases.
local leases, prefix, lease = KEYS[1], ARGV[1], ARGV[2]

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local ended = {}
for i = 3, #ARGV do
    -- Redis may have lost the run.
    redis.call('HSETNX', prefix .. ARGV[i], 'status', 'running')
    redis.call('HSETNX', prefix .. ARGV[i], 'id', ARGV[i])
    redis.call('ZADD', leases, now + lease, ARGV[i])
    if redis.call('HGET', prefix .. ARGV[i], 'status') ~= 'running' then
        table.insert(ended, ARGV[i])
    end
end
return {ended, redis.call('ZRANGEBYSCORE', leases, '-inf', now, 'LIMIT', 0, 100)}
