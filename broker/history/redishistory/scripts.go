package redishistory

import (
	"context"
	"crypto/sha1" //nolint:gosec // see newScript
	"encoding/hex"

	"github.com/redis/rueidis"
)

// All scripts begin with this. KEYS[1] is the room's stream. ARGV[1] is three digits that are hard to
// foresee, ARGV[2] is "1" if the room is broken. A room without a stream begins.
//
// Epochs are numbers that grow, because ids in a stream do: the microseconds of the server's clock and
// the three digits. Numbers of 19 digits can't be calculated with, but compared as texts.
const beginScript = `
local function text(number) return string.format('%.0f', number) end

local function epochAfter(epoch)
  local now = redis.call('TIME')
  local next = string.format('%010.0f%06.0f', now[1], now[2]) .. ARGV[1]
  if #epoch < #next or #epoch == #next and epoch < next then return next end
  local high, low = string.sub(epoch, 1, -10), tonumber(string.sub(epoch, -9)) + 1
  if low == 1e9 then high, low = text(tonumber(high) + 1), 0 end
  return high .. string.format('%09.0f', low)
end

local function lastID()
  local newest = redis.call('XREVRANGE', KEYS[1], '+', '-', 'COUNT', 1)[1]
  if newest then return newest[1] end
  if redis.call('EXISTS', KEYS[1]) == 0 then return '0-0' end
  local info = redis.call('XINFO', 'STREAM', KEYS[1])
  for i = 1, #info, 2 do
    if info[i] == 'last-generated-id' then return info[i + 1] end
  end
end

local function begin()
  local epoch, offset = string.match(lastID(), '^(%d+)-(%d+)$')
  if epoch == '0' or ARGV[2] == '1' then return epochAfter(epoch), tonumber(offset), true end
  return epoch, tonumber(offset), false
end
`

// appendScript records an entry and returns its id. KEYS[2], if there is one, is the id of the entry
// if it has been recorded before; then that is returned, with an equals sign before it. The further
// arguments are the room's messages, how long the stream is kept, the name of the field, the entry,
// and how long KEYS[2] is kept. Times are in milliseconds.
const appendScript = beginScript + `
if KEYS[2] then
  local first = redis.call('GET', KEYS[2])
  if first then return '=' .. first end
end
local epoch, offset = begin()
local id = epoch .. '-' .. text(offset + 1)
redis.call('XADD', KEYS[1], 'MAXLEN', '=', ARGV[3], id, ARGV[5], ARGV[6])
redis.call('PEXPIRE', KEYS[1], ARGV[4])
if KEYS[2] then redis.call('SET', KEYS[2], id, 'PX', ARGV[7]) end
return id
`

// readScript returns the room's position as an id, the offset of the oldest entry that is kept, and
// the first of the entries that are asked for: of each the id, the name of its field, and what that
// has. An offset of 0 says that it has dropped many entries that have expired, and is to be called
// again. The further arguments are how long the stream is kept, the time before which entries have
// expired, "since" or "before" or nothing, the epoch and offset of that position, and how many entries
// and bytes to return at most.
//
// It reads one entry and then as many at a time as will fit if they are as large as those before, but
// not many, so that it hardly reads what it doesn't return. Redis does nothing else meanwhile.
//
// Entries from before a new epoch keep their ids, so the id of an offset has the newest epoch that
// began before it. Entries can't be found by their offsets alone; epochs are few.
//
// The position of a room to which nothing was sent is kept for a minute at most. Clients choose the
// names of rooms, and would fill Redis with them.
const readScript = beginScript + `
local epoch, last, new = begin()
if new then redis.call('XADD', KEYS[1], epoch .. '-' .. text(last), 'm', '') end
redis.call('PEXPIRE', KEYS[1], last > 0 and ARGV[3] or math.min(ARGV[3], 60000))

local function timeOf(entry)
  local a, b, c, d, e, f = string.byte(entry, 2, 7)
  return ((((a * 256 + b) * 256 + c) * 256 + d) * 256 + e) * 256 + f
end

local oldest, probed, dropped = last + 1, 1, 0
while oldest == last + 1 do
  if dropped >= 256 then return {epoch .. '-' .. text(last), '0'} end
  local expired = nil
  for _, entry in ipairs(redis.call('XRANGE', KEYS[1], '-', '+', 'COUNT', probed)) do
    local value = entry[2][2]
    if #value >= 7 and timeOf(value) > tonumber(ARGV[4]) then
      oldest = tonumber(string.match(entry[1], '-(%d+)$'))
      break
    end
    expired = entry[1]
  end
  if not expired then break end
  dropped = dropped + probed
  local epoch, offset = string.match(expired, '^(%d+)-(%d+)$')
  redis.call('XTRIM', KEYS[1], 'MINID', epoch .. '-' .. text(tonumber(offset) + 1))
  probed = math.min(2 * probed, 16)
end

local page = {epoch .. '-' .. text(last), text(oldest)}
local from, to, backward = '-', '+', ARGV[5] ~= 'since'
if oldest > last then return page end

local function idOf(offset, before)
  local at = epoch
  while true do
    local first = tonumber(string.match(redis.call('XRANGE', KEYS[1], at .. '-0', '+', 'COUNT', 1)[1][1], '-(%d+)$'))
    if first < offset or first == offset and not before then break end
    local older = redis.call('XREVRANGE', KEYS[1], '(' .. at .. '-0', '-', 'COUNT', 1)[1]
    if not older then break end
    at = string.match(older[1], '^(%d+)')
  end
  return at .. '-' .. text(offset)
end

if ARGV[6] == epoch and tonumber(ARGV[7]) <= last then
  if ARGV[5] == 'since' then from = '(' .. idOf(tonumber(ARGV[7]), false) end
  if ARGV[5] == 'before' then
    if ARGV[7] == '0' then return page end
    to = '(' .. idOf(tonumber(ARGV[7]), true)
  end
end
local left, bytes = tonumber(ARGV[8]), tonumber(ARGV[9])
local most, used, found = 1, 0, 0
while left > 0 do
  local entries
  if backward then
    entries = redis.call('XREVRANGE', KEYS[1], to, from, 'COUNT', math.min(left, most))
  else
    entries = redis.call('XRANGE', KEYS[1], from, to, 'COUNT', math.min(left, most))
  end
  if #entries == 0 then break end
  for _, entry in ipairs(entries) do
    local field, value = entry[2][1], entry[2][2]
    if #value > 0 then
      used = used + #value
      if used > bytes and found > 0 then return page end
      local n = #page
      page[n + 1], page[n + 2], page[n + 3] = entry[1], field, value
      found = found + 1
      left = left - 1
    end
  end
  local next = '(' .. entries[#entries][1]
  if backward then to = next else from = next end
  most = math.max(1, math.min(16, math.floor((bytes - used) * found / (used + 1))))
end
return page
`

// clearScript drops the entries and begins an epoch. A room without a stream has nothing to lose. Like
// that of a room that has never been sent anything, its position is kept for a minute.
const clearScript = beginScript + `
if redis.call('EXISTS', KEYS[1]) == 1 then
  local epoch = begin()
  redis.call('XTRIM', KEYS[1], 'MAXLEN', 0)
  redis.call('XADD', KEYS[1], epoch .. '-0', 'm', '')
  redis.call('PEXPIRE', KEYS[1], 60000)
end
return 1
`

// breakScript gives a room a new epoch. Its entries stay.
const breakScript = beginScript + `
if redis.call('EXISTS', KEYS[1]) == 1 then
  local epoch, offset = begin()
  redis.call('XADD', KEYS[1], epoch .. '-' .. text(offset), 'm', '')
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

// call returns the command that calls the script, by its name if the server is thought to have it.
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
