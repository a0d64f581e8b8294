#!lua flags=allow-oom
-- Trim a stream, but never past what a consumer group has not finished.
--
-- KEYS: the stream, its account. ARGV: oldest id to keep; "read" where nothing may go while no group exists.
-- The oldest entry kept is the lowest, over all groups, of the oldest pending entry or, where nothing is pending, the
-- last one delivered. One script reads and trims, so no group slips in between. What goes is noted in the account, so
-- that what somebody else deletes can be told from it.
-- Returns how many entries went, and the group that kept more from going.
local function parts(id)
  local ms, seq = string.match(id, '(%d+)-(%d+)')
  return tonumber(ms), tonumber(seq)
end
local function older(a, b)
  local a_ms, a_seq = parts(a)
  local b_ms, b_seq = parts(b)
  return a_ms < b_ms or (a_ms == b_ms and a_seq < b_seq)
end
if redis.call('EXISTS', KEYS[1]) == 0 then return {0, ''} end
local floor, holder = ARGV[1], ''
local groups = redis.call('XINFO', 'GROUPS', KEYS[1])
if #groups == 0 and ARGV[2] == 'read' then return {0, ''} end
for _, fields in ipairs(groups) do
  local group = {}
  for i = 1, #fields, 2 do group[fields[i]] = fields[i + 1] end
  local pending = redis.call('XPENDING', KEYS[1], group['name'])
  local oldest = group['last-delivered-id']
  if pending[1] > 0 then oldest = pending[2] end
  if older(oldest, floor) then floor, holder = oldest, group['name'] end
end
local removed = redis.call('XTRIM', KEYS[1], 'MINID', '=', floor)
if removed > 0 then
  redis.call('HINCRBY', KEYS[2], 'removed', removed) -- since the stream was last made
  redis.call('HINCRBY', KEYS[2], 'trimmed', removed) -- ever
  redis.call('HSET', KEYS[2], 'floor', floor)
end
return {removed, holder}
