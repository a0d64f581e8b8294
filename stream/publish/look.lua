#!lua flags=allow-oom
-- Look after a stream: does the server still have what it acknowledged, and did somebody else delete entries?
--
-- KEYS: the stream, its account, then hashes of marks. ARGV: the era in which the caller looked last; how many entries
--       must have been added since the era began, as far as the caller knows; how many of the entries found gone at an
--       earlier look the caller has put on its disk as a loss, or -1 to begin a new era because the server lost what
--       it had acknowledged, which comes again; then for each mark: index of the hash in KEYS, source.
-- The account holds how many entries had ever been added at the last look, how many our own trimming removed, and how
-- many are known to have been deleted by others. What is in none of these and not in the stream is newly gone, and
-- enters the account only when the caller has told it: one that dies before that leaves it to be found again. A stream
-- with fewer entries ever added than before was deleted as a whole: a new era begins.
-- Returns how many entries are gone that nobody told, the era, how many entries were added in it, how many are missing
-- in all (which names this loss), and each mark's seq.
local stream, account, told = KEYS[1], KEYS[2], tonumber(ARGV[3])
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
local gone, missing = 0, 0
if not stored[1] then
  deleted = added - length - removed -- of what was before the first look nothing is known
else
  local expected = tonumber(stored[1])
  if era == tonumber(ARGV[1]) then expected = math.max(expected, tonumber(ARGV[2])) end
  if told < 0 then
    if added >= tonumber(stored[1]) then gone = added - length - removed - deleted end -- deleted, not lost
    missing, era, deleted = added - length, era + 1, added - length - removed - gone
  elseif added < expected then
    gone, missing = expected - added - removed - deleted, expected - added
    if gone <= told then
      era, removed, deleted, gone = era + 1, 0, added - length, 0
    else
      added = expected -- the account stays as it was, until this is told
    end
  else
    gone, missing = added - length - removed - deleted, added - length
    local settled = math.min(gone, told)
    deleted, gone = deleted + settled, gone - settled
  end
end
redis.call('HSET', account, 'added', added, 'removed', removed, 'deleted', deleted, 'era', era)
local marks = {}
for i = 4, #ARGV, 2 do
  marks[#marks + 1] = tonumber(redis.call('HGET', KEYS[tonumber(ARGV[i])], ARGV[i + 1]) or '0')
end
return {math.max(0, gone), era, added, missing, marks}
