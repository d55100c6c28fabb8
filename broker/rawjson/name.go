package rawjson

import (
	"encoding/json"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Name returns the text of a JSON value that names a room or a user: the string's, or the number's
// as in [NumberText]. ok is false for any other value, and for a number without a text.
func Name(value json.RawMessage) (text string, ok bool) {
	begin := skipSpace(value, 0)
	switch {
	case begin == len(value):
		return "", false
	case value[begin] == '"':
		return String(value)
	default:
		return NumberText(strings.TrimRight(string(value[begin:]), " \t\r\n"))
	}
}

// String returns the text of a JSON string. ok is false for any other value.
func String(value json.RawMessage) (text string, ok bool) {
	if isPlain(value) {
		return string(value[1 : len(value)-1]), true
	}
	begin := skipSpace(value, 0)
	if begin == len(value) || value[begin] != '"' {
		return "", false
	}
	var unescaped string
	ok = json.Unmarshal(value, &unescaped) == nil
	return unescaped, ok
}

// isPlain reports whether value is a string whose text is what stands between the quotes.
func isPlain(value json.RawMessage) bool {
	if len(value) < 2 || value[0] != '"' || value[len(value)-1] != '"' {
		return false
	}
	text := value[1 : len(value)-1]
	for _, c := range text {
		if c < ' ' || c == '"' || c == '\\' {
			return false
		}
	}
	return utf8.Valid(text)
}

// NumberText returns the canonical text of a JSON number, which is JavaScript's String(n): "7" for
// 7, 7.0 and 70e-1, "0" for -0, "1e+21" for 1e21. Equal numbers have equal texts and different
// numbers different ones: an integer that JavaScript would round keeps its digits, because one
// user's id must not become another's. ok is false for other numbers that a float64 can't hold,
// such as 1e400, and for anything that isn't a number.
func NumberText(literal string) (text string, ok bool) {
	if isSmallInteger(literal) {
		return literal, true
	}
	if !isNumber(literal) {
		return "", false
	}
	n, err := strconv.ParseFloat(literal, 64)
	if err == nil {
		// encoding/json writes numbers as JavaScript does, except -0.
		written, _ := json.Marshal(n) // it is finite
		text = string(written)
		if n == 0 {
			text = "0"
		}
	}
	switch {
	case err == nil && decimalOf(text) == decimalOf(literal):
		return text, true
	case !strings.ContainsAny(literal, ".eE"):
		return literal, true
	default:
		return "", false
	}
}

// isSmallInteger reports whether text is an integer from 0 on that a float64 holds exactly, as
// most ids are. It is its own canonical text.
func isSmallInteger(text string) bool {
	if text == "" || len(text) > 15 || text[0] == '0' && text != "0" {
		return false
	}
	for i := range len(text) {
		if !isDigit(text[i]) {
			return false
		}
	}
	return true
}

// isNumber reports whether text is a JSON number.
func isNumber(text string) bool {
	first := strings.TrimPrefix(text, "-")
	return first != "" && isDigit(first[0]) && isDigit(text[len(text)-1]) && json.Valid([]byte(text))
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }

// decimal is a number's exact value: 0.digits times ten to the power of exponent. Digits neither
// begin nor end with a zero. Zero has no digits.
type decimal struct {
	negative bool
	digits   string
	exponent int
}

// decimalOf parses a JSON number. If an int can't hold the exponent, any large value will do: no
// float64 comes near it.
func decimalOf(literal string) decimal {
	var d decimal
	rest, negative := strings.CutPrefix(literal, "-")
	mantissa, power := rest, ""
	if i := strings.IndexAny(rest, "eE"); i >= 0 {
		mantissa, power = rest[:i], rest[i+1:]
	}
	d.exponent, _ = strconv.Atoi(power)
	whole, fraction, _ := strings.Cut(mantissa, ".")
	d.digits = strings.TrimLeft(whole+fraction, "0")
	d.exponent += len(whole) - (len(whole+fraction) - len(d.digits))
	d.digits = strings.TrimRight(d.digits, "0")
	if d.digits == "" {
		return decimal{}
	}
	d.negative = negative
	return d
}
