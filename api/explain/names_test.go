package explain

import (
	"testing"

	"google.golang.org/protobuf/proto"

	salav1 "github.com/salabroker/sala/gen/sala/v1"
)

// Quoted text keeps its names.
func TestJSONNamesIn(t *testing.T) {
	emit := (*salav1.EmitBatchRequest)(nil).ProtoReflect().Descriptor()
	const text = `a "page_token \" args_json" isn't args_json, except_rooms or page_token`
	if got := jsonNamesIn(emit, text); got != `a "page_token \" args_json" isn't argsJson, exceptRooms or page_token` {
		t.Errorf("it becomes %s", got)
	}
}

func TestNamesAsText(t *testing.T) {
	for text, want := range map[string]string{
		`{"rooms":[7,"a",7.0, -0 ],"event":"e"}`:                           `{"rooms":["7","a","7", "0" ],"event":"e"}`,
		` {"users" : [ 5 ] , "exceptRooms":[1e3],"except_rooms":[2]} `:     ` {"users" : [ "5" ] , "exceptRooms":["1000"],"except_rooms":["2"]} `,
		`{"rooms":[9007199254740993,12345678901234567890]}`:                `{"rooms":["9007199254740993","12345678901234567890"]}`,
		`{"rooms":["a"],"args":[{"rooms":[7],"room":7}],"argsJson":"[7]"}`: "",
		`{"rooms":[1e400,true,null,[7],{"a":7}],"event":7,"sockets":[7]}`:  "",
		`{"rooms":7,"users":{"a":7}}`:                                      "",
		`{"ROOMS":[7]}`:                                                    "",
		`{"rooms":[7]`:                                                     "",
		`[{"rooms":[7]}]`:                                                  "",
		``:                                                                 "",
	} {
		if want == "" {
			want = text
		}
		if got := string(NamesAsText([]byte(text), (*salav1.EmitRequest)(nil).ProtoReflect().Descriptor())); got != want {
			t.Errorf("%s became %s, want %s", text, got, want)
		}
	}
	for text, test := range map[string]struct {
		message proto.Message
		want    string
	}{
		`{"emits":[{"rooms":[1]},{"rooms":["2"]},{"users":[3]}]}`:                 {&salav1.EmitBatchRequest{}, `{"emits":[{"rooms":["1"]},{"rooms":["2"]},{"users":["3"]}]}`},
		`{"user":7,"rooms":[8],"join":[9,"a:*"],"publish":[1],"data":{"user":7}}`: {&salav1.IssueTokenRequest{}, `{"user":"7","rooms":["8"],"join":["9","a:*"],"publish":["1"],"data":{"user":7}}`},
		`{"tokenId":5}`:                          {&salav1.RevokeTokensRequest{}, `{"tokenId":"5"}`},
		`{"selector":{"rooms":[1]},"rooms":[2]}`: {&salav1.JoinRequest{}, `{"selector":{"rooms":["1"]},"rooms":["2"]}`},
	} {
		descriptor := test.message.ProtoReflect().Descriptor()
		if got := string(NamesAsText([]byte(text), descriptor)); got != test.want {
			t.Errorf("%s became %s, want %s", text, got, test.want)
		}
	}
}
