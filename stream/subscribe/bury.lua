#!lua flags=allow-oom
-- Move an entry to the dead-letter stream: together, so that it is neither lost nor kept twice.
--
-- KEYS: the stream, the dead-letter stream, the group's tries by entry. ARGV: group, id, event, reason.
redis.call('XADD', KEYS[2], '*', 'event', ARGV[3], 'reason', ARGV[4], 'id', ARGV[2])
redis.call('HDEL', KEYS[3], ARGV[2])
return redis.call('XACK', KEYS[1], ARGV[1], ARGV[2])
