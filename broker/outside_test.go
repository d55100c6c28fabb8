package broker

import (
	"encoding/json"
	"testing"
	"unicode/utf8"

	"github.com/salabroker/sala/broker/socketio"
)

// FuzzAuth: what backends get to see of a client's auth has no token in it,
// however the client has spelt that.
func FuzzAuth(f *testing.F) {
	for _, seed := range []string{`{"token":"a","name":"b"}`, `{"TOKEN":"a","token":"b"}`, `{"to\u212aen":1,"x":{"token":"inner"}}`, `{"token":["a"],"":0}`, `null`, ` {"t":1} `} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, auth string) {
		d := socketio.Decoder{MaxBytes: 1 << 20}
		p, ok, err := d.Text([]byte("0" + auth))
		if err != nil || !ok {
			return
		}
		others := otherAuth(&p)
		var shown struct {
			Token any `json:"token"`
		}
		if others != nil && (json.Unmarshal(others, &shown) != nil || shown.Token != nil) {
			t.Errorf("of %q backends see %q", auth, others)
		}
	})
}

// FuzzPageToken: a page token is one of ours, in UTF-8 as other nodes need it, or
// an error.
func FuzzPageToken(f *testing.F) {
	f.Add(pageToken(pageOfRooms, "/", "a"))
	f.Add(pageToken(pageOfSockets, "id"))
	f.Add("\xff")
	f.Add(pageToken(pageOfRooms, "/", "\xff"))
	f.Fuzz(func(t *testing.T, raw string) {
		_, after, err := Page{Token: raw}.parse(pageOfRooms, 2)
		if err == nil && (len(after) != 2 || !utf8.ValidString(after[0]+after[1])) {
			t.Errorf("%q became %q", raw, after)
		}
	})
}
