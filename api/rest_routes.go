package api

import (
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
)

// routes are the paths of the REST API and their methods.
type routes []route

type route struct {
	path    *regexp.Regexp
	methods []string
}

// newRoutes reads the routes of an OpenAPI description.
func newRoutes(description []byte) (routes, error) {
	var described struct {
		Paths map[string]map[string]json.RawMessage `json:"paths"`
	}
	if err := json.Unmarshal(description, &described); err != nil {
		return nil, fmt.Errorf("reading the description of the REST API: %w", err)
	}
	variable := regexp.MustCompile(`\\\{[^/]+?\\\}`)
	var all routes
	for path, operations := range described.Paths {
		pattern := "^" + variable.ReplaceAllString(regexp.QuoteMeta(path), "[^/]+") + "$"
		compiled, err := regexp.Compile(pattern)
		if err != nil {
			return nil, fmt.Errorf("reading the path %s of the REST API: %w", path, err)
		}
		r := route{path: compiled}
		for method := range operations {
			r.methods = append(r.methods, strings.ToUpper(method))
		}
		all = append(all, r)
	}
	return all, nil
}

// allowed returns the methods of a path in the form of the header Allow.
func (known routes) allowed(path string) string {
	var methods []string
	for _, r := range known {
		if r.path.MatchString(path) {
			methods = append(methods, r.methods...)
		}
	}
	if slices.Contains(methods, http.MethodGet) {
		methods = append(methods, http.MethodHead)
	}
	slices.Sort(methods)
	return strings.Join(slices.Compact(methods), ", ")
}

// headAsGet handles HEAD as GET. net/http omits the body.
func headAsGet(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodHead {
			asked := *r
			asked.Method = http.MethodGet
			r = &asked
		}
		next.ServeHTTP(w, r)
	})
}
