package redishistory

import (
	"math/rand/v2"
	"strconv"
	"strings"
	"time"

	"github.com/salabroker/sala/broker/history"
)

// parseID returns the position that an id in a stream names.
func parseID(id string) (history.Position, error) {
	epoch, offset, _ := strings.Cut(id, "-")
	number, err := strconv.ParseUint(offset, 10, 64)
	if err != nil || !isEpoch(epoch) {
		return history.Position{}, errMalformed
	}
	return history.Position{Epoch: epoch, Offset: number}, nil
}

// isEpoch reports whether a text can be an epoch of this engine: the first half of an id, which Redis
// reads as a number of 64 bits.
func isEpoch(text string) bool {
	_, err := strconv.ParseUint(text, 10, 64)
	return err == nil
}

// id returns the id of an entry.
func id(p history.Position) string { return p.Epoch + "-" + strconv.FormatUint(p.Offset, 10) }

func millis(d time.Duration) string { return strconv.FormatInt(d.Milliseconds(), 10) }

// digits returns three digits that are hard to foresee.
func digits() string { return strconv.Itoa(1000 + rand.IntN(1000))[1:] } //nolint:gosec // they keep nothing secret

func flag(set bool) string {
	if set {
		return "1"
	}
	return "0"
}
