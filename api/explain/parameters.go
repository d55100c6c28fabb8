package explain

import (
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
	"github.com/grpc-ecosystem/grpc-gateway/v2/utilities"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/dynamicpb"

	"github.com/salabroker/sala/broker"
)

// Parameters returns what is wrong with the URL parameters of a request with the given HTTP
// method. The gateway would ignore parameters that it doesn't know.
func Parameters(method string, query url.Values, request protoreflect.MessageDescriptor) []broker.FieldViolation {
	var faults []broker.FieldViolation
	for _, name := range slices.Sorted(maps.Keys(query)) {
		if len(faults) >= maxFaults {
			break
		}
		why := parameterFault(request, name, query[name])
		if method == http.MethodPost {
			why = "is in the URL; POST takes it in the body"
		}
		if why != "" {
			faults = append(faults, broker.FieldViolation{Field: quoted(jsonPath(request, name)), Description: why})
		}
	}
	return faults
}

// parameterFault returns what is wrong with a parameter, or "".
func parameterFault(request protoreflect.MessageDescriptor, name string, values []string) string {
	message, field, last := request, protoreflect.FieldDescriptor(nil), ""
	for _, part := range strings.Split(name, ".") {
		if message == nil {
			return "there is no such parameter; " + last + " has no fields"
		}
		field, last = fieldNamed(message, part), quoted(part)
		if field == nil {
			return noSuch("parameter", message, part)
		}
		message = field.Message()
	}
	if len(values) > 1 && !field.IsList() {
		return fmt.Sprintf("is there %d times; give it once", len(values))
	}
	query := url.Values{name: values}
	if runtime.PopulateQueryParameters(dynamicpb.NewMessage(request), query, utilities.NewDoubleArray(nil)) == nil {
		return ""
	}
	return fmt.Sprintf("is %q; %s", quoted(values[0]), expected(field, []byte(values[0])))
}
