-- Set the status of a run that has not ended. Return its status, false for an unknown run.
local run = KEYS[1]
local prefix, ended, retention = ARGV[1], ARGV[2], ARGV[3]

local status, id, key = unpack(redis.call('HMGET', run, 'status', 'id', 'key'))
if status == 'running' then
    status = ended
    redis.call('HSET', run, 'status', status)
    redis.call('PEXPIRE', run, retention)
    -- The key may be that of a newer run.
    if key and redis.call('GET', prefix .. key) == id then
        redis.call('PEXPIRE', prefix .. key, retention)
    end
end
return status
