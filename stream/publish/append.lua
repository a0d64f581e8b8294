-- Append events to a stream, all or nothing: only if the server stands exactly where the sender thinks it does.
--
-- KEYS: the stream, then one hash for each run of the last seq by source ("marks").
-- ARGV: time to live of the marks in s; number of sources m; m times: index of the hash in KEYS, source, the seq that
--       the server must have, the seq that it has afterwards; then the events.
-- Returns how many events were appended; or, with nothing done, the m seqs that the server has.
local m = tonumber(ARGV[2])
local call = redis.call
local have, agreed = {}, true
for i = 0, m - 1 do
  local at = 3 + 4 * i
  local stored = call('HGET', KEYS[tonumber(ARGV[at])], ARGV[at + 1]) or '0'
  have[i + 1] = stored
  if stored ~= ARGV[at + 2] then agreed = false end
end
if not agreed then return have end
local stream = KEYS[1]
for i = 3 + 4 * m, #ARGV do call('XADD', stream, '*', 'event', ARGV[i]) end
for i = 0, m - 1 do
  local at = 3 + 4 * i
  call('HSET', KEYS[tonumber(ARGV[at])], ARGV[at + 1], ARGV[at + 3])
end
for i = 2, #KEYS do call('EXPIRE', KEYS[i], ARGV[1]) end
return #ARGV - 2 - 4 * m
