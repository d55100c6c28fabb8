package api

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
	"github.com/grpc-ecosystem/grpc-gateway/v2/utilities"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/dynamicpb"

	"github.com/salabroker/sala/api/apierror"
	"github.com/salabroker/sala/broker"
)

// explainRefusal returns what the gateway says of a request that it could make
// no call of. ctx is that of the call.
func explainRefusal(ctx context.Context, r *http.Request, st *status.Status) *status.Status {
	rest, known := r.Context().Value(restKey{}).(*restRequest)
	if !known || st.Code() != codes.InvalidArgument {
		return apierror.WithReason(st, apierror.CodeName(st.Code()))
	}
	if rest.refused != nil {
		return apierror.Classify(rest.refused).Status()
	}
	if request := requestOf(ctx); request != nil {
		if faults := rest.parameterFaults(request); len(faults) > 0 {
			return apierror.Classify(apierror.Invalid(faults...)).Status()
		}
	}
	return apierror.WithReason(st, broker.ReasonInvalidArgument)
}

// requestOf returns which message the call takes that the gateway was about to
// make; nil if there is none.
func requestOf(ctx context.Context) protoreflect.MessageDescriptor {
	name, _ := runtime.RPCMethod(ctx)
	return requestOfMethod(name)
}

// requestOfMethod returns the request of a method such as
// "/sala.v1.RoomService/ListRooms"; nil if there is none.
func requestOfMethod(name string) protoreflect.MessageDescriptor {
	full := protoreflect.FullName(strings.ReplaceAll(strings.TrimPrefix(name, "/"), "/", "."))
	found, _ := protoregistry.GlobalFiles.FindDescriptorByName(full)
	method, ok := found.(protoreflect.MethodDescriptor)
	if !ok {
		return nil
	}
	return method.Input()
}

// parameterFaults returns what is wrong with the parameters of the URL. The
// gateway ignores those that it doesn't know, and names others as the protos do.
func (r *restRequest) parameterFaults(request protoreflect.MessageDescriptor) []broker.FieldViolation {
	var faults []broker.FieldViolation
	for _, name := range slices.Sorted(maps.Keys(r.query)) {
		if len(faults) >= maxFaults {
			break
		}
		if why := r.parameterFault(request, name, r.query[name]); why != "" {
			faults = append(faults, broker.FieldViolation{Field: quoted(jsonPath(request, name)), Description: why})
		}
	}
	return faults
}

// parameterFault says what is wrong with a parameter; nothing if it is right.
func (r *restRequest) parameterFault(request protoreflect.MessageDescriptor, name string, values []string) string {
	if r.http.Method == http.MethodPost {
		return "is in the URL; POST takes it in the body"
	}
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
