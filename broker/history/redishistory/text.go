package redishistory

import (
	"strconv"
	"strings"
	"time"

	"github.com/salabroker/sala/broker/history"
)

// maxEpochBytes bounds an epoch, as [history.Position] says.
const maxEpochBytes = 64

// parsePosition returns a position that a script has answered.
func parsePosition(epoch, offset string) (history.Position, error) {
	number, err := strconv.ParseUint(offset, 10, 64)
	if err != nil || epoch == "" || len(epoch) > maxEpochBytes || strings.ContainsFunc(epoch, notInEpoch) {
		return history.Position{}, errMalformed
	}
	return history.Position{Epoch: epoch, Offset: number}, nil
}

// notInEpoch reports whether an epoch can't contain a character.
func notInEpoch(r rune) bool {
	return (r < '0' || r > '9') && (r < 'A' || r > 'Z') && (r < 'a' || r > 'z') && r != '.'
}

func millis(d time.Duration) string { return strconv.FormatInt(d.Milliseconds(), 10) }

func flag(set bool) string {
	if set {
		return "1"
	}
	return "0"
}
