#!lua flags=allow-oom
-- Make a consumer group unless it exists, also on a server at its memory cap: it is its consumers that free it.
--
-- KEYS: the stream. ARGV: group; id behind which it begins, or "$".
-- What is not in the stream any more when the group begins is none of its losses: it counts as read.
local stream, group, start = KEYS[1], ARGV[1], ARGV[2]
if redis.call('EXISTS', stream) == 0 then
  return redis.call('XGROUP', 'CREATE', stream, group, start, 'MKSTREAM')
end
for _, fields in ipairs(redis.call('XINFO', 'GROUPS', stream)) do
  for i = 1, #fields, 2 do
    if fields[i] == 'name' and fields[i + 1] == group then return 'EXISTS' end
  end
end
local added, length = 0, 0
local info = redis.call('XINFO', 'STREAM', stream)
for i = 1, #info, 2 do
  if info[i] == 'length' then length = info[i + 1] end
  if info[i] == 'entries-added' then added = info[i + 1] end
end
if start == '0' then return redis.call('XGROUP', 'CREATE', stream, group, start, 'ENTRIESREAD', added - length) end
if start == '$' then return redis.call('XGROUP', 'CREATE', stream, group, start, 'ENTRIESREAD', added) end
return redis.call('XGROUP', 'CREATE', stream, group, start)
