-- Takes tokens for a batch of requests, atomically: one of each of a request's buckets, or none of any.
--
-- KEYS: the batch's buckets, each once. A key's value is the time at which its bucket is full again, in microseconds.
-- ARGV: for each request: how many buckets, then for each of them: index into KEYS, quota, window in microseconds.
-- Answers, for each request: allowed (1 or 0), which of its buckets (from 1), tokens left, full in, retry in (both in
-- microseconds). The bucket is the one that was empty, else the first.

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
  local count = tonumber(ARGV[at])
  local answer, taken = nil, {}
  for number = 1, count do
    local here = at + 3 * number - 2
    local key, quota, window = tonumber(ARGV[here]), tonumber(ARGV[here + 1]), tonumber(ARGV[here + 2])
    local each, lacks = window / quota, missing(tonumber(ARGV[here]))
    local tokens = math.floor((window - lacks) / each + 0.000001)
    if tokens < 1 then
      answer = {0, number, 0, lacks, lacks + each - window}
      break
    end
    taken[#taken + 1] = {key, each}
    answer = answer or {1, number, tokens - 1, lacks + each, 0}
  end
  if answer[1] == 1 then
    for _, token in ipairs(taken) do
      full_at[token[1]] = full_at[token[1]] + token[2]
      touched[token[1]] = true
    end
  end
  answers[#answers + 1] = answer
  at = at + 1 + 3 * count
end

for key in pairs(touched) do
  local lives = math.ceil((full_at[key] - now) / 1000) + 1
  redis.call('SET', KEYS[key], string.format('%.0f', full_at[key]), 'PX', lives)
end
return answers
