package main

import (
	"fmt"
	"go/ast"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
	rpccode "google.golang.org/genproto/googleapis/rpc/code"
	"google.golang.org/grpc/codes"
)

const (
	errorsIntro = `# Errors

Every reason for which the broker refuses something. Programs should look at the reason: it is
stable, while messages are for people.

## Calls of the control API

A failed call has the reason in ` + "`google.rpc.ErrorInfo`" + `, over REST in ` + "`details[0].reason`" + `;
[Control API](../api.md#errors) shows one.

| reason | HTTP | gRPC | what to do |
|---|---|---|---|
`
	elsewhereIntro = `
## Everywhere else

The codes that clients get in ` + "`connect_error`" + `, in acks and in ` + "`sala:disconnect`" + `, and backends on the
event stream. The guides say what each means there.

| code | where |
|---|---|
`
)

var (
	reasonName = regexp.MustCompile(`^[A-Z]+(_[A-Z]+)*$`)
	reasonRow  = regexp.MustCompile("^\\|(?: `[A-Z_]+` \\|)? `([A-Z]+(?:_[A-Z]+)*)`")
	reasonCode = regexp.MustCompile("`([A-Z]+(?:_[A-Z]+)*)`")
	headingRow = regexp.MustCompile(`^#{1,6} (.*)$`)
	notAnchor  = regexp.MustCompile(`[^\p{L}\p{N}_\- ]`)
)

// internal are the reasons that no client and no caller gets: a broker with the first doesn't start, the
// others are labels of metrics.
var internal = []string{"METRICS", "NOT_CONNECTED", "SUBSCRIPTION_CLOSED"}

// place is a section of a guide.
type place struct{ title, link string }

// guides are the sections that explain reasons: those with a table of them, and those that mention them.
type guides struct{ tables, mentions map[string][]place }

// of returns the sections about a reason.
func (g guides) of(reason string) []place {
	if tables := g.tables[reason]; len(tables) > 0 {
		return tables
	}
	return g.mentions[reason]
}

// readGuides finds the reasons in the guides.
func readGuides(docs string) (guides, error) {
	found := guides{tables: make(map[string][]place), mentions: make(map[string][]place)}
	for _, name := range []string{"clients", "events", "api", "recovery", "operations"} {
		page, err := os.ReadFile(filepath.Join(docs, name+".md"))
		if err != nil {
			return guides{}, fmt.Errorf("reading the guides: %w", err)
		}
		var title string
		var here place
		for line := range strings.SplitSeq(string(page), "\n") {
			if heading := headingRow.FindStringSubmatch(line); heading != nil {
				if title == "" {
					title = heading[1]
				}
				anchor := strings.ReplaceAll(notAnchor.ReplaceAllString(strings.ToLower(heading[1]), ""), " ", "-")
				here = place{title + ": " + heading[1], "../" + name + ".md#" + anchor}
			}
			if row := reasonRow.FindStringSubmatch(line); row != nil {
				add(found.tables, row[1], here)
			}
			for _, mention := range reasonCode.FindAllStringSubmatch(line, -1) {
				add(found.mentions, mention[1], here)
			}
		}
	}
	return found, nil
}

func add(places map[string][]place, reason string, at place) {
	if !slices.Contains(places[reason], at) {
		places[reason] = append(places[reason], at)
	}
}

// errorsPage lists the reasons that are constants in the source.
func errorsPage(source []*ast.File, guides guides, n notes) (string, error) {
	reasons, coded := reasonsOf(source)
	var page strings.Builder
	page.WriteString(errorsIntro)
	for _, reason := range slices.Sorted(maps.Keys(n.Reasons)) {
		note := n.Reasons[reason]
		grpc, rest, err := statusOf(reason, note.Code, note.HTTP, coded[reason])
		if err != nil {
			return "", err
		}
		fmt.Fprintf(&page, "| `%s` | %s | %s | %s |\n", reason, rest, grpc, note.Do)
	}
	page.WriteString(elsewhereIntro)
	names := slices.Sorted(maps.Keys(reasons))
	for _, reason := range names {
		var links []string
		for _, at := range guides.of(reason) {
			links = append(links, fmt.Sprintf("[%s](%s)", at.title, at.link))
		}
		_, forCallers := n.Reasons[reason]
		switch {
		case len(links) > 0:
			fmt.Fprintf(&page, "| `%s` | %s |\n", reason, strings.Join(links, ", "))
		case !forCallers:
			return "", fmt.Errorf("%s is neither in notes.yaml nor in a guide", reason)
		}
	}
	return page.String(), unknown("reasons", n.Reasons, append(names, "CANCELLED", "DEADLINE_EXCEEDED", "INTERNAL"))
}

// reasonsOf returns the reasons that have constants, and for each the codes with which the source uses it.
func reasonsOf(source []*ast.File) (reasons map[string]bool, coded map[string]map[string]bool) {
	byConstant := make(map[string]string)
	reasons, coded = make(map[string]bool), make(map[string]map[string]bool)
	each(source, func(spec *ast.ValueSpec) {
		for i, name := range spec.Names {
			if !strings.HasPrefix(strings.ToLower(name.Name), "reason") || i >= len(spec.Values) {
				continue
			}
			if value, ok := text(spec.Values[i]); ok && reasonName.MatchString(value) && !slices.Contains(internal, value) {
				byConstant[name.Name] = value
				reasons[value] = true
			}
		}
	})
	each(source, func(literal *ast.CompositeLit) {
		fields := make(map[string]string)
		for _, element := range literal.Elts {
			if pair, ok := element.(*ast.KeyValueExpr); ok {
				fields[identifier(pair.Key)] = identifier(pair.Value)
			}
		}
		reason := byConstant[fields["Reason"]]
		if name, found := strings.CutPrefix(fields["Code"], "Code"); found && reason != "" {
			if coded[reason] == nil {
				coded[reason] = make(map[string]bool)
			}
			coded[reason][name] = true
		}
	})
	return reasons, coded
}

// statusOf returns the code over gRPC and the status over REST.
func statusOf(reason, noted, status string, coded map[string]bool) (grpc, rest string, err error) {
	if noted == "none" {
		return "–", status, nil
	}
	var c codes.Code
	for candidate := codes.OK; candidate <= codes.Unauthenticated; candidate++ {
		if candidate.String() == noted || noted == "" && len(coded) == 1 && coded[candidate.String()] {
			c = candidate
		}
	}
	if c == codes.OK {
		return "", "", fmt.Errorf("notes.yaml: reasons.%s needs a code: the source has %v", reason, slices.Sorted(maps.Keys(coded)))
	}
	if len(coded) > 0 && !coded[c.String()] {
		return "", "", fmt.Errorf("notes.yaml: reasons.%s has the code %s, the source %v", reason, c, slices.Sorted(maps.Keys(coded)))
	}
	switch status {
	case "none":
		rest = "–"
	case "":
		rest = strconv.Itoa(runtime.HTTPStatusFromCode(c))
	default:
		rest = status
	}
	if n, err := strconv.Atoi(rest); err == nil && n != 499 && http.StatusText(n) == "" {
		return "", "", fmt.Errorf("notes.yaml: reasons.%s has no HTTP status: %s", reason, rest)
	}
	return "`" + rpccode.Code(c).String() + "`", rest, nil
}

// each calls a function for every node of a type.
func each[N ast.Node](source []*ast.File, do func(N)) {
	for _, file := range source {
		ast.Inspect(file, func(n ast.Node) bool {
			if node, ok := n.(N); ok {
				do(node)
			}
			return true
		})
	}
}

// identifier returns the name of an expression, without its package.
func identifier(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.Ident:
		return e.Name
	case *ast.SelectorExpr:
		return e.Sel.Name
	}
	return ""
}
