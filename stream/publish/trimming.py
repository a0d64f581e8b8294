"""Trim a stream without ever dropping what a consumer group has not finished.

`XADD MAXLEN` would drop unread entries. Here the oldest entry kept is the lowest, over all groups, of the oldest
pending entry or, where nothing is pending, the last one delivered; one script reads and trims, so no group slips in
between.
"""

from __future__ import annotations

import time
from typing import NamedTuple

import redis

_TRIM = """
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
return {redis.call('XTRIM', KEYS[1], 'MINID', '=', floor), holder}
"""


class Trimmed(NamedTuple):
    """What a trim did."""

    removed: int
    held_by: str  # the group whose unread or pending entries kept older ones from going; "" if none


class Trimmer:
    """Trim one stream of one server."""

    def __init__(self, client: redis.Redis, stream: str) -> None:
        self._script = client.register_script(_TRIM)
        self._stream = stream

    def trim(self, keep_s: float, *, only_read: bool = False) -> Trimmed:
        """Remove entries older than `keep_s` that every group has finished.

        With `only_read` nothing goes while no group exists: nobody can have read it.
        """
        oldest = f"{max(0, int((time.time() - keep_s) * 1000))}-0"
        removed, holder = self._script(keys=[self._stream], args=[oldest, "read" if only_read else "any"])
        return Trimmed(int(removed), holder.decode(errors="replace"))
