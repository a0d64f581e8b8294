#!lua flags=allow-oom
-- Read what a group has not been given yet, and count what was deleted before it could be.
--
-- KEYS: the stream, the group's account. ARGV: group, consumer, most entries.
-- The group should find as many unread entries as were added since it read last; fewer mean that something deleted
-- some. The account holds how many of these were told already, because some servers go on counting them.
-- Returns how many are newly known to be gone, and the entries.
local stream, account, name = KEYS[1], KEYS[2], ARGV[1]
local function map(fields)
  local made = {}
  for i = 1, #fields, 2 do made[fields[i]] = fields[i + 1] end
  return made
end
local function parts(id)
  local ms, seq = string.match(id, '(%d+)-(%d+)')
  return tonumber(ms), tonumber(seq)
end
local function newer(a, b)
  local a_ms, a_seq = parts(a)
  local b_ms, b_seq = parts(b)
  return a_ms > b_ms or (a_ms == b_ms and a_seq > b_seq)
end
local gone = 0
if redis.call('EXISTS', stream) == 1 then
  local info, group = map(redis.call('XINFO', 'STREAM', stream)), nil
  for _, fields in ipairs(redis.call('XINFO', 'GROUPS', stream)) do
    local one = map(fields)
    if one['name'] == name then group = one end
  end
  if group and group['entries-read'] then
    local behind, last = info['entries-added'] - group['entries-read'], group['last-delivered-id']
    local unread = behind
    if info['length'] == 0 or newer(info['first-entry'][1], last) then
      unread = info['length']
    elseif not group['lag'] and newer(info['max-deleted-entry-id'], last) then
      unread = #redis.call('XRANGE', stream, '(' .. last, '+', 'COUNT', 10000) -- single entries were deleted
      if unread == 10000 then unread = behind - 1 end
    end
    local missing, told = math.max(0, behind - unread), tonumber(redis.call('HGET', account, 'missing') or '0')
    gone = math.max(0, missing - told)
    if missing ~= told then redis.call('HSET', account, 'missing', missing) end
  end
end
local reply = redis.call('XREADGROUP', 'GROUP', name, ARGV[2], 'COUNT', ARGV[3], 'STREAMS', stream, '>')
return {gone, reply and reply[1] and reply[1][2] or {}}
