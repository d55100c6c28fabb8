package api

import (
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	"github.com/salabroker/sala/api/auth"
)

func TestOnlyHealthAndReflectionAreOpen(t *testing.T) {
	h := start(t, &fakeBroker{})
	for service, info := range h.server.grpc.GetServiceInfo() {
		open := strings.HasPrefix(service, "grpc.health.") || strings.HasPrefix(service, "grpc.reflection.")
		if !open && !strings.HasPrefix(service, "sala.v1.") {
			t.Errorf("an unexpected service: %s", service)
		}
		for _, method := range info.Methods {
			full := "/" + service + "/" + method.Name
			if auth.IsOpen(full) != open {
				t.Errorf("isOpen(%s) = %t, want %t", full, !open, open)
			}
		}
	}
	if got := len(h.server.grpc.GetServiceInfo()); got != 12 {
		t.Errorf("%d services are served, want 12: token, key, room, presence, message, socket, event, cluster, observe, health, reflection twice", got)
	}
}

// methods returns the full names of all methods of a proto package, of those
// that are linked into the test.
func methods(pkg protoreflect.FullName) []string {
	var names []string
	protoregistry.GlobalFiles.RangeFilesByPackage(pkg, func(file protoreflect.FileDescriptor) bool {
		for i := range file.Services().Len() {
			service := file.Services().Get(i)
			for j := range service.Methods().Len() {
				names = append(names, "/"+string(service.FullName())+"/"+string(service.Methods().Get(j).Name()))
			}
		}
		return true
	})
	return names
}

func TestEveryMethodHasAScope(t *testing.T) {
	all := methods("sala.v1")
	if len(all) < 15 {
		t.Fatalf("only %d methods in sala.v1: %v", len(all), all)
	}
	for _, method := range all {
		scope, ok := auth.ScopeOf(method)
		if !ok {
			t.Errorf("%s has no scope: nobody can call it; add it to scopeOf", method)
		} else if scope == auth.NoScope && method != "/sala.v1.KeyService/GetKey" {
			t.Errorf("%s needs no scope", method)
		} else if scope != auth.NoScope && !slices.Contains(auth.AllScopes(), scope) {
			t.Errorf("%s has the scope %q, which AllScopes lacks", method, scope)
		}
		if auth.IsOpen(method) {
			t.Errorf("%s is open to callers without a key", method)
		}
	}
}
