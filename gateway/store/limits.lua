-- Takes tokens for a batch of requests, atomically: one of each of a request's buckets, or none of any.
--
-- KEYS: the batch's buckets, each once. A key's value is the time at which its bucket is full again, in microseconds.
-- ARGV: for each group of requests that want the same: how many they are, how many buckets they have, then for each
-- bucket: index into KEYS, quota, window in microseconds.
-- Answers, for each group: how many may pass; of its first bucket, before any passed, the tokens and when it would have
-- been full; and which bucket (from 1) is the emptiest now, when it is full and when it has a token. Times are
-- microseconds from now.

local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local full_at, touched = {}, {}

local function missing(key)
  if not full_at[key] then
    full_at[key] = math.max(now, tonumber(redis.call('GET', KEYS[key]) or '0'))
  end
  return full_at[key] - now
end

local answers = {}
local at = 1
while at <= #ARGV do
  local passing, count = tonumber(ARGV[at]), tonumber(ARGV[at + 1])
  local buckets, emptiest = {}, 1
  for number = 1, count do
    local here = at + 3 * number - 1
    local key, quota, window = tonumber(ARGV[here]), tonumber(ARGV[here + 1]), tonumber(ARGV[here + 2])
    local each, lacks = window / quota, missing(tonumber(ARGV[here]))
    local tokens = math.max(0, math.floor((window - lacks) / each + 0.000001))
    buckets[number] = {key = key, each = each, window = window, lacks = lacks, tokens = tokens}
    passing = math.min(passing, tokens)
    if tokens < buckets[emptiest].tokens then emptiest = number end
  end
  if passing > 0 then
    for _, bucket in ipairs(buckets) do
      full_at[bucket.key] = full_at[bucket.key] + passing * bucket.each
      touched[bucket.key] = true
    end
  end
  local first, least = buckets[1], buckets[emptiest]
  local lacks = missing(least.key)
  local wait = math.max(0, lacks + least.each - least.window)
  answers[#answers + 1] = {passing, first.tokens, first.lacks, emptiest, lacks, wait}
  at = at + 2 + 3 * count
end

for key in pairs(touched) do
  local lives = math.ceil((full_at[key] - now) / 1000) + 1
  redis.call('SET', KEYS[key], string.format('%.0f', full_at[key]), 'PX', lives)
end
return answers
