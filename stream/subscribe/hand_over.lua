#!lua flags=allow-oom
-- Acknowledge what was handled, and count that the next entry is handed to the application once more.
--
-- KEYS: the stream, the group's tries by entry. ARGV: group, time to live of the tries in s, the entry's id, then the ids
--       to acknowledge.
-- Returns how often the entry was counted before.
for i = 4, #ARGV do
  redis.call('XACK', KEYS[1], ARGV[1], ARGV[i])
  redis.call('HDEL', KEYS[2], ARGV[i])
end
local tries = redis.call('HINCRBY', KEYS[2], ARGV[3], 1)
redis.call('EXPIRE', KEYS[2], ARGV[2])
return tries - 1
