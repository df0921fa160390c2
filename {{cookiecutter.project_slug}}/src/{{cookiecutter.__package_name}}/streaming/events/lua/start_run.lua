#{% if cookiecutter.__uses.chat %}
-- Return the fields of the run with a key. If there is none, or it is to be replaced, store a run.
local leases, run, key = KEYS[1], KEYS[2], KEYS[3]
local prefix, id, lease, create, replace = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]

local known = replace == '0' and redis.call('GET', key)
#{% else %}
-- Return the fields of the run with an idempotency key. If there is none, store a run.
local leases, run, key = KEYS[1], KEYS[2], KEYS[3]
local prefix, id, lease, create = ARGV[1], ARGV[2], ARGV[3], ARGV[4]

local known = redis.call('GET', key)
#{% endif %}
if known and redis.call('EXISTS', prefix .. known) == 1 then
    return redis.call('HGETALL', prefix .. known)
end
if create == '1' then
    local time = redis.call('TIME')
#{% if cookiecutter.__uses.chat %}
    redis.call('HSET', run, unpack(ARGV, 6))
#{% else %}
    redis.call('HSET', run, unpack(ARGV, 5))
#{% endif %}
    redis.call('ZADD', leases, time[1] * 1000 + lease, id)
    if redis.call('HGET', run, 'key') ~= '' then
        redis.call('SET', key, id)
    end
end
return {}
