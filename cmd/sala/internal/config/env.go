package config

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"

	"github.com/alecthomas/kong"
)

// serviceLinks matches the variables that Kubernetes and Docker set for a service called sala or
// sala-something. They aren't settings.
var serviceLinks = regexp.MustCompile(`_SERVICE_(HOST|PORT)(_[A-Z0-9_]+)?$|_PORT(_[0-9]+_(TCP|UDP|SCTP)(_[A-Z]+)?)?$`)

// unknownEnvVars returns the variables that look like settings but aren't, and the known ones.
func unknownEnvVars(root *kong.Node) (unknown, known []string) {
	known = envVars(root)
	for _, entry := range os.Environ() {
		name, _, _ := strings.Cut(entry, "=")
		if strings.HasPrefix(name, "SALA_") && !slices.Contains(known, name) && !serviceLinks.MatchString(name) {
			unknown = append(unknown, name)
		}
	}
	slices.Sort(unknown)
	return unknown, known
}

// envVars returns the variables of a command and its subcommands.
func envVars(node *kong.Node) []string {
	var names []string
	for _, flag := range node.Flags {
		names = append(names, flag.Envs...)
	}
	for _, child := range node.Children {
		names = append(names, envVars(child)...)
	}
	return names
}

// checkEnv refuses variables that are likely misspelt, because the setting would be missing
// silently, and warns of others.
func (f *Flags) checkEnv(p *problems) (warnings []string) {
	for _, name := range f.unknownEnvVars {
		meant := slices.MinFunc(f.envVars, func(a, b string) int { return distance(name, a) - distance(name, b) })
		if distance(name, meant) <= 2 {
			p.addf("the environment variable %s is unknown; did you mean %s?", name, meant)
			continue
		}
		warnings = append(warnings, fmt.Sprintf("the environment variable %s is unknown and has no effect; \"sala serve --help\" lists the known ones", name))
	}
	return warnings
}

// distance is the Levenshtein distance of a and b.
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
