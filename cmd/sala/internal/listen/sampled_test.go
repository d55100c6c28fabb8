package listen

import (
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestSampledHandler(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var text strings.Builder
		log := slog.New(newSampledHandler(slog.NewTextHandler(&text, nil))).With("a", 1)
		for range sampleRecords + 90 {
			log.Info("x")
		}
		if n := strings.Count(text.String(), "\n"); n != sampleRecords {
			t.Errorf("%d lines, want %d", n, sampleRecords)
		}
		<-time.After(sampleInterval)
		text.Reset()
		log.Info("y")
		log.Info("z")
		if got := text.String(); strings.Count(got, "\n") != 2 || strings.Count(got, "left_out_before=90") != 1 {
			t.Errorf("an interval later: %s", got)
		}
	})
}
