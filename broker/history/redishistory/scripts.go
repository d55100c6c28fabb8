package redishistory

import (
	"context"
	"crypto/sha1" //nolint:gosec // see newScript
	"encoding/hex"

	"github.com/redis/rueidis"
)

// All scripts begin with this. KEYS[1] is the room's hash: "e" is its epoch, "o" the offset of its
// newest entry. KEYS[2] is the stream. ARGV[1] is an epoch that nobody has used, ARGV[2] is "1" if
// the room is broken. A room without a hash begins.
const beginScript = `
local function begin()
  local meta = redis.call('HMGET', KEYS[1], 'e', 'o')
  local epoch, offset = meta[1], tonumber(meta[2])
  if not epoch or not offset then
    redis.call('DEL', KEYS[2])
    epoch, offset = ARGV[1], 0
  elseif ARGV[2] == '1' then
    epoch = ARGV[1]
  end
  return epoch, offset
end
local function text(number) return string.format('%.0f', number) end
`

// appendScript records an entry and returns its position. KEYS[3], if there is one, is the position
// of the entry if it has been recorded before. The further arguments are the room's messages, its
// TTL, how long its position is kept, the time, the entry, its MAC, and how long KEYS[3] is kept.
// Times are in milliseconds.
const appendScript = beginScript + `
if KEYS[3] then
  local first = redis.call('GET', KEYS[3])
  if first then return first end
end
local epoch, offset = begin()
offset = offset + 1
redis.call('XADD', KEYS[2], 'MAXLEN', '=', ARGV[3], text(offset) .. '-' .. ARGV[6], 'm', ARGV[7], 's', ARGV[8])
redis.call('PEXPIRE', KEYS[2], ARGV[4])
redis.call('HSET', KEYS[1], 'e', epoch, 'o', text(offset))
redis.call('PEXPIRE', KEYS[1], ARGV[5])
local position = epoch .. ' ' .. text(offset)
if KEYS[3] then redis.call('SET', KEYS[3], position, 'PX', ARGV[9]) end
return position
`

// readScript returns the room's epoch, the offset of its newest entry, that of the oldest which is
// kept, and the entries that are asked for: of each the id, the entry and its MAC. The further
// arguments are how long the position is kept, the time before which entries have expired, "since"
// or "before" or nothing, the epoch and offset of that position, and how many entries and bytes to
// return at most.
//
// It reads one entry and then as many at a time as will fit if they are as large as those before, so
// that it hardly reads what it doesn't return. Redis does nothing else meanwhile.
//
// The position of a room to which nothing was sent is kept for a minute at most. Clients choose the
// names of rooms, and would fill Redis with them.
const readScript = beginScript + `
local epoch, last = begin()
redis.call('HSET', KEYS[1], 'e', epoch, 'o', text(last))
redis.call('PEXPIRE', KEYS[1], last > 0 and ARGV[3] or math.min(ARGV[3], 60000))

local oldest, probed = last + 1, 1
while oldest == last + 1 do
  local expired = nil
  for _, entry in ipairs(redis.call('XRANGE', KEYS[2], '-', '+', 'COUNT', probed)) do
    local offset, time = string.match(entry[1], '(%d+)-(%d+)')
    if tonumber(time) > tonumber(ARGV[4]) then
      oldest = tonumber(offset)
      break
    end
    expired = tonumber(offset)
  end
  if not expired then break end
  redis.call('XTRIM', KEYS[2], 'MINID', text(expired + 1) .. '-0')
  probed = math.min(2 * probed, 16)
end

local page = {epoch, text(last), text(oldest)}
local from, to, backward = oldest, last, ARGV[5] ~= 'since'
local offset = tonumber(ARGV[7])
if ARGV[6] == epoch and offset <= last then
  if ARGV[5] == 'since' then from = math.max(from, offset + 1) end
  if ARGV[5] == 'before' then to = offset - 1 end
end
if from > to then return page end
from, to = text(from), text(to)
local left, bytes = tonumber(ARGV[8]), tonumber(ARGV[9])
local most, used = 1, 0
while left > 0 do
  local entries
  if backward then
    entries = redis.call('XREVRANGE', KEYS[2], to, from, 'COUNT', math.min(left, most))
  else
    entries = redis.call('XRANGE', KEYS[2], from, to, 'COUNT', math.min(left, most))
  end
  if #entries == 0 then break end
  for _, entry in ipairs(entries) do
    local fields = entry[2]
    used = used + #fields[2]
    local n = #page
    if used > bytes and n > 3 then return page end
    page[n + 1], page[n + 2], page[n + 3] = entry[1], fields[2], fields[4]
  end
  left = left - #entries
  local next = '(' .. entries[#entries][1]
  if backward then to = next else from = next end
  most = math.max(1, math.min(128, math.floor((bytes - used) * (#page / 3 - 1) / (used + 1))))
end
return page
`

// clearScript drops the entries and begins an epoch. A room without a hash has nothing to lose. Like
// that of a room that has never been sent anything, its position is kept for a minute.
const clearScript = `
redis.call('DEL', KEYS[2])
if redis.call('EXISTS', KEYS[1]) == 1 then
  redis.call('HSET', KEYS[1], 'e', ARGV[1], 'o', '0')
  redis.call('PEXPIRE', KEYS[1], 60000)
end
return 1
`

// breakScript gives a room a new epoch. Its entries stay.
const breakScript = `
if redis.call('HEXISTS', KEYS[1], 'e') == 1 then
  redis.call('HSET', KEYS[1], 'e', ARGV[1])
end
return 1
`

// scripts are what the engine has Redis carry out.
type scripts struct{ append, read, clear, breakEpoch script }

func newScripts() scripts {
	return scripts{newScript(appendScript), newScript(readScript), newScript(clearScript), newScript(breakScript)}
}

// script is a Lua script.
type script struct{ text, sum string }

func newScript(text string) script {
	sum := sha1.Sum([]byte(text)) //nolint:gosec // Redis names scripts by their SHA-1; it protects nothing
	return script{text, hex.EncodeToString(sum[:])}
}

// call returns the command that calls the script, by its name if the server is known to have it.
func (s script) call(client rueidis.Client, known bool, keys, args []string) rueidis.Completed {
	if known {
		return client.B().Evalsha().Sha1(s.sum).Numkeys(int64(len(keys))).Key(keys...).Arg(args...).Build()
	}
	return client.B().Eval().Script(s.text).Numkeys(int64(len(keys))).Key(keys...).Arg(args...).Build()
}

// do calls the script, and once more with its text if the server doesn't have it.
func (s script) do(ctx context.Context, client rueidis.Client, keys, args []string) rueidis.RedisResult {
	result := client.Do(ctx, s.call(client, true, keys, args))
	if isNoScript(result.Error()) {
		return client.Do(ctx, s.call(client, false, keys, args))
	}
	return result
}

// isNoScript reports whether a server doesn't have a script.
func isNoScript(err error) bool {
	refused, ok := rueidis.IsRedisErr(err)
	return ok && refused.IsNoScript()
}
