package api

import (
	"slices"
	"testing"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/salabroker/sala/api/apierror"
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

// violations returns the fields at fault.
func violations(err error) []string {
	var fields []string
	for _, detail := range status.Convert(err).Details() {
		if bad, ok := detail.(*errdetails.BadRequest); ok {
			for _, v := range bad.GetFieldViolations() {
				fields = append(fields, v.GetField())
			}
		}
	}
	return fields
}

func TestFieldViolations(t *testing.T) {
	err := apierror.Classify(apierror.Invalid(
		broker.FieldViolation{Field: "rooms[2]", Description: "is empty"},
		broker.FieldViolation{Field: "event", Description: "is reserved"},
	)).Status().Err()
	wantStatus(t, err, codes.InvalidArgument, "INVALID_ARGUMENT", "rooms[2]: is empty; event: is reserved")
	if got := violations(err); !slices.Equal(got, []string{"rooms[2]", "event"}) {
		t.Errorf("violations = %v", got)
	}
}
