#!lua flags=allow-oom
-- Look after a stream: does the server still have what it acknowledged, and did somebody else delete entries?
--
-- KEYS: the stream, its account, then hashes of marks. ARGV: the era in which the caller looked last; how many entries
--       must have been added since the era began, as far as the caller knows; then for each mark: index of the hash
--       in KEYS, source.
-- The account holds how many entries had ever been added at the last look, how many our own trimming removed, and how
-- many are known to have been deleted by others. What is in none of these and not in the stream is newly gone. A
-- stream with fewer entries ever added than before was deleted as a whole: a new era begins.
-- Returns how many entries are newly known to be gone, the era, how many entries were added in it, and each mark's seq.
local stream, account = KEYS[1], KEYS[2]
local added, length = 0, 0
if redis.call('EXISTS', stream) == 1 then
  local info = redis.call('XINFO', 'STREAM', stream)
  for i = 1, #info, 2 do
    if info[i] == 'length' then length = info[i + 1] end
    if info[i] == 'entries-added' then added = info[i + 1] end
  end
end
local stored = redis.call('HMGET', account, 'added', 'removed', 'deleted', 'era')
local removed, deleted, era = tonumber(stored[2] or 0), tonumber(stored[3] or 0), tonumber(stored[4] or 0)
local gone = 0
if not stored[1] then
  deleted = added - length - removed -- of what was before the first look nothing is known
else
  local expected = tonumber(stored[1])
  if era == tonumber(ARGV[1]) then expected = math.max(expected, tonumber(ARGV[2])) end
  if added < expected then
    gone = expected - added - removed - deleted
    era, removed, deleted = era + 1, 0, added - length
  else
    gone = added - length - removed - deleted
    deleted = deleted + gone
  end
end
redis.call('HSET', account, 'added', added, 'removed', removed, 'deleted', deleted, 'era', era)
local marks = {}
for i = 3, #ARGV, 2 do
  marks[#marks + 1] = tonumber(redis.call('HGET', KEYS[tonumber(ARGV[i])], ARGV[i + 1]) or '0')
end
return {math.max(0, gone), era, added, marks}
