package main

import (
	"regexp"
	"strings"
)

var (
	// literal finds what a text without markup means as code: URLs, paths, flags, upper-case reasons, names with underscores,
	// quoted commands and JSON.
	literal  = regexp.MustCompile(`https?://\S*[\w*]|\B/[a-z][a-z./]*[a-z]|--[a-z][a-z-]*[a-z]|"?\b[A-Z][A-Z0-9]*_[A-Z0-9_]+\b"?|\b[A-Z]{6,}\b|\b[a-z]+(?:_[a-z0-9]+)+\b|\{"[^}]*\}+`)
	pagePath = regexp.MustCompile(`\bdocs/([a-z-]+\.md)\b`)
	escapes  = strings.NewReplacer("<", "&lt;", "*", `\*`, "|", `\|`)
)

// code returns a text as code, for a table too.
func code(text string) string { return "`" + strings.ReplaceAll(text, "|", `\|`) + "`" }

// plain returns a text without markup, such as a comment or a flag's help, as Markdown, for a
// table too. Line breaks become spaces. What is plainly code becomes code, names of pages become links.
func plain(text string) string {
	text = strings.Join(strings.Fields(text), " ")
	var out strings.Builder
	at := 0
	for _, found := range literal.FindAllStringIndex(text, -1) {
		out.WriteString(prose(text[at:found[0]]))
		out.WriteString(code(text[found[0]:found[1]]))
		at = found[1]
	}
	out.WriteString(prose(text[at:]))
	return out.String()
}

func prose(text string) string {
	return pagePath.ReplaceAllString(escapes.Replace(text), "[docs/$1](../$1)")
}

// paragraphs returns a comment as paragraphs of Markdown.
func paragraphs(comment string) string {
	var out []string
	for part := range strings.SplitSeq(strings.TrimSpace(comment), "\n\n") {
		out = append(out, wrap(plain(part)))
	}
	return strings.Join(out, "\n\n")
}

// wrap breaks a paragraph into lines of up to 100 characters.
func wrap(text string) string {
	var out strings.Builder
	length := 0
	for i, word := range strings.Fields(text) {
		switch width := len([]rune(word)); {
		case i > 0 && length+1+width > 100:
			out.WriteString("\n")
			length = width
		case i > 0:
			out.WriteString(" ")
			length += 1 + width
		default:
			length = width
		}
		out.WriteString(word)
	}
	return out.String()
}
