//go:build !race

// The race detector would find nothing here, and makes it ten times slower.

package tools_test

import (
	"bytes"
	"go/scanner"
	"go/token"
	"os"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestVocabulary fails when a tracked file contains words that vocabulary.txt
// refuses. The file says where the check applies and which exceptions there are.
func TestVocabulary(t *testing.T) {
	v := readVocabulary(t)
	used := make(map[exception]bool)
	for _, name := range v.files(t) {
		text, err := os.ReadFile("../" + name)
		if err != nil {
			t.Fatal(err)
		}
		for _, found := range v.check(name, text) {
			if known := (exception{name, found.words}); slices.Contains(v.exceptions, known) {
				used[known] = true
				continue
			}
			t.Errorf("%s:%d: %q: write %s (%s)", name, found.line, found.words, found.better, found.reason)
		}
	}
	for _, known := range v.exceptions {
		if !used[known] {
			t.Errorf("vocabulary.txt: the exception for %q in %s isn't needed", known.words, known.file)
		}
	}
}

// TestVocabularyFinds checks the check: which text of a file it reads, and what
// it takes for the words of a pattern.
func TestVocabularyFinds(t *testing.T) {
	v := vocabulary{words: []word{
		{pattern: compileWords(`\bin good order\b`)},
		{pattern: compileWords(`(?-i:\bWho asks\b)…\.`)},
	}}
	for _, test := range []struct {
		name, text string
		lines      []int
	}{
		{"a.md", "It ends\nin good order.\n", []int{2}},
		{"a.md", "It ends in good\norder. In Good Order.\n", []int{1, 2}},
		{"a.md", "in good orders\n", nil},
		{"a.go", "package a\n\n// It ends in good\n// order.\nvar inGoodOrder = 1\n", []int{3}},
		{"a.go", "package a\n\nconst a = \"in good order\"\n", []int{3}},
		{"a.go", "package a\n\nvar x = in /* good */ order\n", nil},
		{"a.sh", "# ends in good\n#   order\n", []int{1}},
		{"a.md", "Who asks\nis told. Who asks?\n\n# Who asks\n\nAll. Who\nmay.\n", []int{1}},
		{"a.go", "package a\n\n// # Who asks\n//\n// All do.\nvar Who = 1\n", nil},
	} {
		var lines []int
		for _, found := range v.check(test.name, []byte(test.text)) {
			lines = append(lines, found.line)
		}
		if !slices.Equal(lines, test.lines) {
			t.Errorf("%s %q: found in lines %v, want %v", test.name, test.text, lines, test.lines)
		}
	}
}

// vocabulary is what vocabulary.txt contains.
type vocabulary struct {
	checked    []string // files, and folders with a / at the end
	exceptions []exception
	words      []word
}

// exception allows words that a pattern matches in one file.
type exception struct{ file, words string }

type word struct {
	pattern        *regexp.Regexp
	better, reason string
}

// finding is where a word was found. Its words have single spaces.
type finding struct {
	word
	line  int
	words string
}

func readVocabulary(t *testing.T) vocabulary {
	t.Helper()
	text, err := os.ReadFile("vocabulary.txt")
	if err != nil {
		t.Fatal(err)
	}
	var v vocabulary
	section := ""
	for i, line := range strings.Split(string(text), "\n") {
		if line == "" || line[0] == '#' {
			continue
		}
		if line[0] == '[' {
			section = line
			continue
		}
		columns := strings.Split(line, " | ")
		for i := range columns {
			columns[i] = strings.TrimSpace(columns[i])
		}
		switch {
		case section == "[check]" && len(columns) == 1:
			v.checked = append(v.checked, line)
		case section == "[except]" && len(columns) == 3:
			v.exceptions = append(v.exceptions, exception{file: columns[0], words: columns[1]})
		case section == "[words]" && len(columns) == 3:
			v.words = append(v.words, word{pattern: compileWords(columns[0]), better: columns[1], reason: columns[2]})
		default:
			t.Fatalf("vocabulary.txt:%d: unexpected in %s: %s", i+1, section, line)
		}
	}
	return v
}

// Between words there is space or a line break, after which a comment goes on
// with its marker. The rest of a sentence doesn't include an empty line.
const (
	gap  = `(?:[ \t]+|[ \t]*\n[ \t]*(?://|#|\*|>)?[ \t]*)`
	rest = `(?:[^.?!:|\n]|\n[ \t]*(?://|#|\*)?[ \t]*[^\s/#*.?!:|])*`
)

func compileWords(pattern string) *regexp.Regexp {
	return regexp.MustCompile("(?im)" + strings.NewReplacer(" ", gap, "…", rest).Replace(pattern))
}

// files returns the tracked files to check.
func (v *vocabulary) files(t *testing.T) []string {
	t.Helper()
	var files []string
	for _, name := range trackedFiles(t) {
		if v.isChecked(name) && isText(name) {
			files = append(files, name)
		}
	}
	if len(files) == 0 {
		t.Fatal("there is no file to check")
	}
	return files
}

func (v *vocabulary) isChecked(name string) bool {
	return slices.ContainsFunc(v.checked, func(entry string) bool {
		return name == entry || strings.HasSuffix(entry, "/") && strings.HasPrefix(name, entry)
	})
}

// isText reports whether the project writes the file. The list itself isn't checked.
func isText(name string) bool {
	base := path.Base(name)
	if strings.HasPrefix(name, "api/console/dist/") { // built from web/
		return false
	}
	if strings.HasPrefix(base, "vocabulary") || strings.HasSuffix(base, "lock.json") || base == "LICENSE" {
		return false
	}
	return !slices.Contains([]string{".json", ".sum", ".mod", ".png", ".svg"}, path.Ext(name))
}

func (v *vocabulary) check(name string, text []byte) []finding {
	if path.Ext(name) == ".go" {
		if bytes.Contains(text, []byte("\n// Code generated ")) || bytes.HasPrefix(text, []byte("// Code generated ")) {
			return nil
		}
		text = prose(text)
	}
	var found []finding
	for _, w := range v.words {
		for _, at := range w.pattern.FindAllIndex(text, -1) {
			found = append(found, finding{
				word: w, line: 1 + bytes.Count(text[:at[0]], []byte("\n")), words: strings.Join(strings.Fields(string(text[at[0]:at[1]])), " "),
			})
		}
	}
	return found
}

// prose blanks out what is neither a comment nor a string in Go source. Spaces
// and line breaks stay, all else becomes a character that no pattern matches.
func prose(source []byte) []byte {
	blank := func(r rune) rune {
		if r == ' ' || r == '\t' || r == '\n' {
			return r
		}
		return 0
	}
	var text []byte
	var s scanner.Scanner
	file := token.NewFileSet().AddFile("", -1, len(source))
	s.Init(file, source, nil, scanner.ScanComments)
	done := 0
	for {
		pos, kind, literal := s.Scan()
		if kind == token.EOF {
			return append(text, bytes.Map(blank, source[done:])...)
		}
		if kind == token.COMMENT || kind == token.STRING {
			start := file.Offset(pos)
			text = append(text, bytes.Map(blank, source[done:start])...)
			text = append(text, literal...)
			done = start + len(literal)
		}
	}
}
