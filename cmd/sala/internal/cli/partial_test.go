package cli

import (
	"strings"
	"testing"

	salav1 "github.com/salabroker/sala/gen/sala/v1"
)

func TestPartialAnswersAreSaid(t *testing.T) {
	summary := func(s *salav1.AckSummary) *salav1.EmitWithAckResponse {
		return &salav1.EmitWithAckResponse{Kind: &salav1.EmitWithAckResponse_Summary{Summary: s}}
	}
	const warning = "sala: warning: the result is incomplete; nodes that did not answer: "
	for name, tt := range map[string]struct {
		messages []any
		want     string
	}{
		"whole":     {[]any{&salav1.EmitResponse{}, &salav1.IssueTokenResponse{}, summary(&salav1.AckSummary{}), &salav1.EmitWithAckResponse{}}, ""},
		"a list":    {[]any{&salav1.ListRoomsResponse{Partial: true, MissingNodes: []string{"B", "A"}}}, warning + "A, B\n"},
		"two pages": {[]any{&salav1.ListRoomsResponse{Partial: true, MissingNodes: []string{"B"}}, &salav1.ListRoomsResponse{Partial: true, MissingNodes: []string{"B", "A"}}}, warning + "A, B\n"},
		"no names":  {[]any{&salav1.EmitResponse{Partial: true}}, warning + "unknown\n"},
		"a summary": {[]any{summary(&salav1.AckSummary{Partial: true, MissingNodes: []string{"A"}})}, warning + "A\n"},
	} {
		var out strings.Builder
		var c Client
		if err := c.AfterApply(&Streams{Err: &out}); err != nil {
			t.Fatal(err)
		}
		for _, m := range tt.messages {
			c.partial.inspect(m)
		}
		c.partial.warn()
		if out.String() != tt.want {
			t.Errorf("%s: %q, want %q", name, out.String(), tt.want)
		}
	}
}

func TestUnion(t *testing.T) {
	if got := union([]string{"b"}, []string{"c", "a", "b"}); strings.Join(got, " ") != "a b c" {
		t.Errorf("the union is %v", got)
	}
}
