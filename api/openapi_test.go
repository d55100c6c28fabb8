package api

import (
	"encoding/json"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/salabroker/sala/api/auth"
)

// description is the part of /openapi.json that the tests read.
type description struct {
	Paths      map[string]map[string]operation
	Components struct {
		Responses map[string]struct{ Description string }
	}
}

type operation struct {
	OperationID string
	Security    []map[string][]string
	Responses   map[string]struct {
		Ref string `json:"$ref"`
	}
}

func describe(t *testing.T) description {
	t.Helper()
	var d description
	if err := json.Unmarshal(openAPI, &d); err != nil {
		t.Fatal(err)
	}
	return d
}

// The scopes of the description come from the comments of the protos.
func TestOpenAPIHasTheScopes(t *testing.T) {
	scopes := map[string][]string{} // by the ids of operations
	for _, method := range methods("sala.v1") {
		scope, _ := auth.ScopeOf(method)
		_, name, _ := strings.Cut(method[1:], "/")
		id := strings.ToLower(name[:1]) + name[1:]
		if scope != auth.NoScope {
			scopes[id] = []string{string(scope)}
		}
	}
	// The second ways to make a call.
	scopes["deleteRoom"], scopes["listConnectedUsers"] = scopes["clearRoom"], scopes["listUsers"]
	for _, id := range []string{"getRoom", "listMessages", "clearMessages"} {
		scopes[id+"OfQuery"] = scopes[id]
	}
	checked := 0
	for path, operations := range describe(t).Paths {
		for method, o := range operations {
			var described []string
			if len(o.Security) > 0 {
				described = o.Security[0]["apiKey"]
			}
			if want := scopes[o.OperationID]; !slices.Equal(described, want) {
				t.Errorf("%s %s is described with the scopes %q, but needs %q", method, path, described, want)
			}
			checked++
		}
	}
	if checked < 30 {
		t.Errorf("only %d operations", checked)
	}
}

// Each reason of a REST call that docs/reference/errors.md lists is in the description of its status.
func TestOpenAPIHasTheReasons(t *testing.T) {
	page, err := os.ReadFile("../docs/reference/errors.md")
	if err != nil {
		t.Fatal(err)
	}
	elsewhere := []string{
		"HOST_DENIED", "PATH_NOT_FOUND", "METHOD_NOT_ALLOWED", // of requests that are no call
		"CANCELLED", // whose caller doesn't see it
	}
	d := describe(t)
	ofStatus := map[string]string{}
	for _, operations := range d.Paths {
		for _, o := range operations {
			for status, response := range o.Responses {
				ofStatus[status] = d.Components.Responses[strings.TrimPrefix(response.Ref, "#/components/responses/")].Description
			}
		}
	}
	rows := regexp.MustCompile("(?m)^\\| `([A-Z_]+)` \\| (\\d{3}) \\|").FindAllStringSubmatch(string(page), -1)
	if len(rows) < 30 {
		t.Fatalf("docs/reference/errors.md lists only %d reasons", len(rows))
	}
	for _, row := range rows {
		reason, status := row[1], row[2]
		if !slices.Contains(elsewhere, reason) && !strings.Contains(ofStatus[status], "`"+reason+"`") {
			t.Errorf("%s isn't described for the status %s", reason, status)
		}
	}
}
