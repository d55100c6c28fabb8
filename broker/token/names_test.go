package token_test

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"

	"github.com/golang-jwt/jwt/v5"

	"github.com/salabroker/sala/broker/token"
)

const namesSecret = "0123456789abcdef0123456789abcdef"

// verifyClaims verifies a token with these claims and a distant "exp".
func verifyClaims(t *testing.T, claims string) (token.Claims, error) {
	t.Helper()
	ring, err := token.NewKeyring(token.Options{Keys: []token.Key{{Secret: []byte(namesSecret)}}})
	if err != nil {
		t.Fatal(err)
	}
	return ring.Verify(signText(t, `{"exp":9999999999,`+claims+`}`))
}

// signText signs claims as they are written.
func signText(t *testing.T, claims string) string {
	t.Helper()
	encode := base64.RawURLEncoding.EncodeToString
	text := encode([]byte(`{"alg":"HS256"}`)) + "." + encode([]byte(claims))
	signature, err := jwt.SigningMethodHS256.Sign(text, []byte(namesSecret))
	if err != nil {
		t.Fatal(err)
	}
	return text + "." + encode(signature)
}

// A name that only resembles a claim's grants nothing.
func TestClaimsHaveExactNames(t *testing.T) {
	for sala, want := range map[string]token.Grant{
		`{"broadcast":false,"broadcaſt":true}`:         {},
		`{"BROADCAST":true,"Join":["**"]}`:             {},
		`{"joIn":["a"],"pubLish":["b"],"ROOMS":["c"]}`: {},
		`{"join":["a"],"JOIN":["**"]}`:                 {Join: []string{"a"}},
		`{"\u0062roadcast":true}`:                      {Broadcast: true},
		`{"namespaces":["/a"],"Namespaces":[]}`:        {Namespaces: []string{"/a"}},
		`{"rooms":["a",7,7.0,-0,1e3],"join":[8],"publish":[9],"broadcast":null,"data":{"Join":1}}`: {
			Rooms: []string{"a", "7", "7", "0", "1000"}, Join: []string{"8"}, Publish: []string{"9"}, Data: json.RawMessage(`{"Join":1}`),
		},
		`null`: {}, `{}`: {},
	} {
		c, err := verifyClaims(t, `"sub":"ana","sala":`+sala)
		if err != nil || !c.Scoped || !reflect.DeepEqual(c.Grant, want) {
			t.Errorf("%s: %+v, %v; want %+v", sala, c.Grant, err, want)
		}
	}
	for _, claims := range []string{`"SUB":"ana"`, `"sub":"ana","EXP":1,"exp":2`, `"sub":"ana","sala":{"join":[],"join":["**"]}`, `"sub":"ana","sub":"ben"`} {
		if c, err := verifyClaims(t, claims); err == nil {
			t.Errorf("%s: %+v", claims, c)
		}
	}
	if c, err := verifyClaims(t, `"sub":"ana","SALA":{"join":["**"]}`); err != nil || c.Scoped {
		t.Errorf("SALA: %+v, %v", c, err)
	}
}

// A token is refused if RevokeTokens wouldn't accept its user or id.
func TestNamesInTokens(t *testing.T) {
	long := strings.Repeat("x", 256)
	for claims, want := range map[string][2]string{ // user and id; nothing is a refusal
		`"sub":"ana"`:                             {"ana", ""},
		`"sub":7,"jti":5`:                         {"7", "5"},
		`"sub":7.0,"jti":5e0`:                     {"7", "5"},
		`"sub":9007199254740993`:                  {"9007199254740993", ""},
		`"sub":"ana","jti":null`:                  {"ana", ""},
		`"sub":"ana","jti":""`:                    {"ana", ""},
		`"sub":"ana","jti":"` + long[1:] + `"`:    {"ana", long[1:]},
		`"sub":"ana","jti":"` + long + `"`:        {},
		`"sub":"` + long + `"`:                    {},
		`"sub":"ana","jti":"a\nb"`:                {},
		`"sub":"a\u0000b"`:                        {},
		`"sub":"ana","jti":[5]`:                   {},
		`"sub":"ana","jti":{}`:                    {},
		`"sub":"ana","jti":true`:                  {},
		`"sub":"ana","jti":1e400`:                 {},
		`"sub":1e400`:                             {},
		`"sub":true`:                              {},
		`"sub":["ana"]`:                           {},
		`"sub":null`:                              {},
		`"sub":""`:                                {},
		`"sub":"ana","sala":7`:                    {},
		`"sub":"ana","sala":[]`:                   {},
		`"sub":"ana","sala":{"join":"a"}`:         {},
		`"sub":"ana","sala":{"rooms":[true]}`:     {},
		`"sub":"ana","sala":{"rooms":[["a"]]}`:    {},
		`"sub":"ana","sala":{"rooms":[null]}`:     {},
		`"sub":"ana","sala":{"publish":{}}`:       {},
		`"sub":"ana","sala":{"broadcast":"true"}`: {},
		`"sub":"ana","sala":{"broadcast":1}`:      {},
		`"sub":"ana","sala":{"namespaces":"/"}`:   {},
		`"sub":"ana","sala":{"rooms":[1e400]}`:    {},
	} {
		c, err := verifyClaims(t, claims)
		if c.User != want[0] && err == nil || c.ID != want[1] && err == nil || (err == nil) != (want[0] != "") {
			t.Errorf("%.60s: user %q, id %q, %v; want %q", claims, c.User, c.ID, err, want)
		}
		var refusal *token.Refusal
		if err != nil && (!errors.As(err, &refusal) || refusal.Reason != token.ReasonInvalid) {
			t.Errorf("%.60s: %v, want TOKEN_INVALID", claims, err)
		}
	}
}
