package cli

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

func TestExplainEveryCode(t *testing.T) {
	fields, err := status.New(codes.InvalidArgument, "all in one").WithDetails(
		&errdetails.ErrorInfo{Reason: "INVALID_ARGUMENT"},
		&errdetails.BadRequest{FieldViolations: []*errdetails.BadRequest_FieldViolation{
			{Field: "rooms[0]", Description: "empty"}, {Field: "event", Description: "reserved"},
		}})
	if err != nil {
		t.Fatal(err)
	}
	outage, err := status.New(codes.Unavailable, "the node X doesn't answer").WithDetails(&errdetails.ErrorInfo{Reason: "NODE_UNAVAILABLE"})
	if err != nil {
		t.Fatal(err)
	}
	c := &Client{Server: "host:1", APIKey: "name=the-key", Timeout: 3 * time.Second}
	for want, err := range map[string]error{
		"can't reach a broker at host:1":                                  status.Error(codes.Unavailable, "refused"),
		"isn't trusted: set --tls-ca":                                     status.Error(codes.Unavailable, "tls: failed to verify certificate: x509"),
		"host:1 doesn't know this API key: set SALA_API_KEY or --api-key": status.Error(codes.Unauthenticated, "no"),
		"host:1 did not answer within 3s; to wait longer, set --timeout":  status.Error(codes.DeadlineExceeded, "late"),
		"interrupted":            status.Error(codes.Canceled, "context canceled"),
		"doesn't know this call": status.Error(codes.Unimplemented, "unknown method"),
		"the broker refused the request:\n  rooms[0]: empty\n  event: reserved": fields.Err(),
		"the node X doesn't answer": outage.Err(),
		"nobody is there":           status.Error(codes.NotFound, "nobody is there"),
		"the key lacks a scope":     status.Error(codes.PermissionDenied, "the key lacks a scope"),
		"not one of gRPC's":         errors.New("not one of gRPC's"),
	} {
		got := c.explain(err)
		if got == nil || !strings.Contains(got.Error(), want) || strings.Contains(got.Error(), "the-key") || strings.Contains(got.Error(), "rpc error") {
			t.Errorf("%v became\n%v\nwhich lacks\n%s", err, got, want)
		}
	}
	if err := c.explain(nil); err != nil {
		t.Errorf("no error became %v", err)
	}
}

func TestTableShowsNoControlCharacters(t *testing.T) {
	var out bytes.Buffer
	if err := table(&out, [][]string{{"A", "B"}, {"\x1b[31mred", ""}, {"a\tb", "sala ñ 世界"}}); err != nil {
		t.Fatal(err)
	}
	want := "A               B\n\"\\x1b[31mred\"   -\n\"a\\tb\"          sala ñ 世界\n"
	if strings.ContainsAny(out.String(), "\x1b\t") || strings.Join(strings.Fields(out.String()), " ") != strings.Join(strings.Fields(want), " ") {
		t.Errorf("got\n%q\nwant\n%q", out.String(), want)
	}
}

func TestArguments(t *testing.T) {
	for _, tt := range []struct {
		event Event
		want  string
	}{
		{Event{}, `[]`},
		{Event{Values: []string{"1.10", "-0", "1e400", `{"b":1,"a":2}`, "null"}}, `[1.10,-0,1e400,{"b":1,"a":2},null]`},
		{Event{Values: []string{"", "text", `"x`, "01", "NaN", "a\nb", "<é>"}}, `["","text","\"x","01","NaN","a\nb","\u003cé\u003e"]`},
		{Event{Args: ` [1, "x"] `}, ` [1, "x"] `},
	} {
		if got, err := tt.event.argsJSON(); err != nil || got != tt.want {
			t.Errorf("%+v became %s (%v), want %s", tt.event, got, err, tt.want)
		}
	}
}
