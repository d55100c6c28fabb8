package config

import (
	"fmt"
	"reflect"
	"strconv"
	"time"

	"github.com/alecthomas/kong"
)

// DurationMapper decodes flags that are durations, such as 1m30s. Its errors say what to write if
// the unit is missing.
func DurationMapper() kong.Mapper {
	return kong.MapperFunc(func(ctx *kong.DecodeContext, target reflect.Value) error {
		var text string
		if err := ctx.Scan.PopValueInto("duration", &text); err != nil {
			return err
		}
		d, err := parseDuration(text)
		if err != nil {
			return err
		}
		target.SetInt(int64(d))
		return nil
	})
}

// parseDuration parses a duration. Its error says what to write.
func parseDuration(text string) (time.Duration, error) {
	d, err := time.ParseDuration(text)
	if err != nil {
		if _, notNumber := strconv.ParseFloat(text, 64); notNumber == nil {
			return 0, fmt.Errorf("%q has no unit: write %ss for seconds or %sms for milliseconds", text, text, text)
		}
		return 0, fmt.Errorf("%q is not a duration such as 10s, 1m30s or 500ms", text)
	}
	return d, nil
}
