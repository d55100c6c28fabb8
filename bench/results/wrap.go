package results

import "strings"

// Wrap breaks a paragraph into lines of at most 100 columns where a word allows it, and groups the
// digits of numbers from 10,000.
func Wrap(paragraph string) string {
	const columns = 100
	var b strings.Builder
	used := 0
	for _, word := range strings.Fields(paragraph) {
		word = groupDigits(word)
		switch {
		case used == 0:
		case used+1+len(word) > columns:
			b.WriteByte('\n')
			used = 0
		default:
			b.WriteByte(' ')
			used++
		}
		b.WriteString(word)
		used += len(word)
	}
	return b.String()
}

// groupDigits groups the digits of a word that is a number, followed by punctuation or not.
func groupDigits(word string) string {
	digits := strings.TrimRight(word, ".,;:")
	if len(digits) < 5 || strings.Trim(digits, "0123456789") != "" {
		return word
	}
	for i := len(digits) - 3; i > 0; i -= 3 {
		word = word[:i] + "," + word[i:]
	}
	return word
}
