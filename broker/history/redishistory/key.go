package redishistory

import (
	"strconv"
	"strings"

	"github.com/salabroker/sala/broker/history"
)

// lanes is into how many parts the slots of a Redis Cluster are divided. A server has a range of
// slots, so a lane rarely needs more than one of them.
const lanes = 16

// roomKey is the name of a room's stream, which begins with a hash tag. A namespace contains no
// space.
func (e *Engine) roomKey(r history.Room) string {
	return e.prefix + r.Namespace + " " + r.Name + keySuffix
}

const keySuffix = "}log"

// onceKey is the name of the position of an entry with an idempotency key.
func onceKey(room string, id history.Identity) string {
	return room + ":" + id.Node + "." + strconv.FormatUint(id.Number, 36)
}

// laneOf returns the lane of a room on a Redis Cluster.
func laneOf(room string) int { return int(slotOf(room)) * lanes / slots }

// slots is the number of hash slots of a Redis Cluster.
const slots = 1 << 14

// slotOf returns the hash slot of a key: the CRC-16/XMODEM of its hash tag, as the Redis Cluster
// specification says.
func slotOf(key string) uint16 {
	if _, after, found := strings.Cut(key, "{"); found {
		if tag, _, closed := strings.Cut(after, "}"); closed && tag != "" {
			key = tag
		}
	}
	var crc uint16
	for i := range len(key) {
		crc ^= uint16(key[i]) << 8
		for range 8 {
			if crc&0x8000 != 0 {
				crc = crc<<1 ^ 0x1021
			} else {
				crc <<= 1
			}
		}
	}
	return crc % slots
}
