-- Set the status of a run that has not ended. Return its status, false for an unknown run.
local run = KEYS[1]
local prefix, ended, retention = ARGV[1], ARGV[2], ARGV[3]

#{% if cookiecutter.__uses.chat %}
local status, id, key = unpack(redis.call('HMGET', run, 'status', 'id', 'key'))
#{% else %}
local status, key = unpack(redis.call('HMGET', run, 'status', 'key'))
#{% endif %}
if status == 'running' then
    status = ended
    redis.call('HSET', run, 'status', status)
    redis.call('PEXPIRE', run, retention)
#{% if cookiecutter.__uses.chat %}
    -- The key may be that of a newer run.
    if key and redis.call('GET', prefix .. key) == id then
        redis.call('PEXPIRE', prefix .. key, retention)
    end
#{% else %}
    redis.call('PEXPIRE', prefix .. (key or ''), retention)
#{% endif %}
end
return status
