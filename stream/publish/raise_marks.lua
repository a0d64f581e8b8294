#!lua flags=allow-oom
-- Raise marks that the server lost to what its stream shows that it has.
--
-- KEYS: hashes of marks. ARGV: time to live of the marks in s; then for each mark: index of the hash in KEYS, source, seq.
for i = 2, #ARGV, 3 do
  local key = KEYS[tonumber(ARGV[i])]
  if tonumber(redis.call('HGET', key, ARGV[i + 1]) or '0') < tonumber(ARGV[i + 2]) then
    redis.call('HSET', key, ARGV[i + 1], ARGV[i + 2])
    redis.call('EXPIRE', key, ARGV[1])
  end
end
return 0
