package config

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"

	"github.com/alecthomas/kong"
)

// byOrchestrator matches variables that an orchestrator sets by itself for a
// service that is called sala, or sala-something: they are no settings.
var byOrchestrator = regexp.MustCompile(`_SERVICE_(HOST|PORT)(_[A-Z0-9_]+)?$|_PORT(_[0-9]+_(TCP|UDP|SCTP)(_[A-Z]+)?)?$`)

// strangers returns the variables that look like settings and are none.
func strangers(root *kong.Node) (names, known []string) {
	known = variables(root)
	for _, entry := range os.Environ() {
		name, _, _ := strings.Cut(entry, "=")
		if strings.HasPrefix(name, "SALA_") && !slices.Contains(known, name) && !byOrchestrator.MatchString(name) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names, known
}

// variables are those of all commands.
func variables(node *kong.Node) []string {
	var names []string
	for _, flag := range node.Flags {
		names = append(names, flag.Envs...)
	}
	for _, child := range node.Children {
		names = append(names, variables(child)...)
	}
	return names
}

// checkEnvironment refuses a variable that is likely misspelt, as a setting
// would be missing without a word, and returns what it has to say of others.
func (f *Flags) checkEnvironment(p *problems) (notes []string) {
	for _, name := range f.unknown {
		meant := slices.MinFunc(f.variables, func(a, b string) int { return distance(name, a) - distance(name, b) })
		if distance(name, meant) <= 2 {
			p.addf("the variable %s is no setting; is %s meant?", name, meant)
			continue
		}
		notes = append(notes, fmt.Sprintf("the variable %s is no setting and has no effect; sala serve --help lists what there is", name))
	}
	return notes
}

// distance is how many characters have to be added, taken away or replaced to
// make b of a.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		before := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := before
			if a[i] != b[j] {
				cost++
			}
			before = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
