package apierror

import (
	"context"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"slices"
	"strings"
	"testing"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/salabroker/sala/broker"
)

func errorInfo(st *status.Status) *errdetails.ErrorInfo {
	for _, detail := range st.Details() {
		if info, ok := detail.(*errdetails.ErrorInfo); ok {
			return info
		}
	}
	return nil
}

func TestEveryBrokerCode(t *testing.T) {
	table := []struct {
		name string
		code broker.Code
		want codes.Code
	}{
		{"CodeInternal", broker.CodeInternal, codes.Internal},
		{"CodeInvalidArgument", broker.CodeInvalidArgument, codes.InvalidArgument},
		{"CodeNotFound", broker.CodeNotFound, codes.NotFound},
		{"CodeUnauthenticated", broker.CodeUnauthenticated, codes.Unauthenticated},
		{"CodePermissionDenied", broker.CodePermissionDenied, codes.PermissionDenied},
		{"CodeResourceExhausted", broker.CodeResourceExhausted, codes.ResourceExhausted},
		{"CodeFailedPrecondition", broker.CodeFailedPrecondition, codes.FailedPrecondition},
		{"CodeUnavailable", broker.CodeUnavailable, codes.Unavailable},
	}
	var tested []string
	for _, tt := range table {
		tested = append(tested, tt.name)
		st := Classify(fmt.Errorf("wrapped: %w", &broker.Error{Code: tt.code, Reason: "WHY", Message: "what"})).Status()
		if st.Code() != tt.want {
			t.Errorf("%s becomes %s, want %s", tt.name, st.Code(), tt.want)
		}
		reason, message := "WHY", "what"
		if tt.code == broker.CodeInternal {
			reason, message = "INTERNAL", Internal().Message
		}
		if info := errorInfo(st); info.GetReason() != reason || info.GetDomain() != "sala" || st.Message() != message {
			t.Errorf("%s becomes %v with %v", tt.name, st, info)
		}
	}
	slices.Sort(tested)
	if declared := brokerCodes(t); !slices.Equal(declared, tested) {
		t.Errorf("broker has the codes %v, the table %v: add what is missing here and to codeOf", declared, tested)
	}
}

// brokerCodes reads the names of broker's codes from its source.
func brokerCodes(t *testing.T) []string {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), "../../broker/errors.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if ok {
			for _, name := range spec.Names {
				if strings.HasPrefix(name.Name, "Code") {
					names = append(names, name.Name)
				}
			}
		}
		return true
	})
	slices.Sort(names)
	return names
}

func TestClassifyOthers(t *testing.T) {
	for _, tt := range []struct {
		err    error
		code   codes.Code
		reason string
	}{
		{context.Canceled, codes.Canceled, "CANCELLED"},
		{fmt.Errorf("waiting: %w", context.DeadlineExceeded), codes.DeadlineExceeded, "DEADLINE_EXCEEDED"},
		{status.Error(codes.Unavailable, "the stream broke"), codes.Unavailable, "UNAVAILABLE"},
		{errors.New("/etc/secret: permission denied"), codes.Internal, "INTERNAL"},
	} {
		st := Classify(tt.err).Status()
		if st.Code() != tt.code || errorInfo(st).GetReason() != tt.reason {
			t.Errorf("%v becomes %v with %v, want %s with %s", tt.err, st, errorInfo(st), tt.code, tt.reason)
		}
		if strings.Contains(st.Message(), "secret") {
			t.Errorf("%v is told to the caller: %v", tt.err, st)
		}
	}
}
