package results

import "strings"

// Wrap breaks a paragraph into lines of at most 100 columns where a word allows it.
func Wrap(paragraph string) string {
	const columns = 100
	var b strings.Builder
	used := 0
	for _, word := range strings.Fields(paragraph) {
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
