package token

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	mathrand "math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/salabroker/sala/broker/rawjson"
)

// libraryVerify verifies a token as [Keyring.Verify] does, but has the library decode it into maps.
// Verify decodes only what it needs; the two must agree about every token. It says why it refuses a
// token with a reason alone.
func (r *Keyring) libraryVerify(raw string) (Claims, string) {
	if len(raw) > r.maxBytes {
		return Claims{}, ReasonTooLarge
	}
	claims, notBefore, ok := r.librarySigned(raw)
	if !ok {
		return Claims{}, ReasonInvalid
	}
	var refusal *Refusal
	if errors.As(r.checkValidity(claims, notBefore), &refusal) {
		return Claims{User: claims.User}, refusal.Reason
	}
	return claims, ""
}

func (r *Keyring) librarySigned(raw string) (c Claims, notBefore time.Time, ok bool) {
	values := jwt.MapClaims{}
	parser := jwt.NewParser(jwt.WithJSONNumber(), jwt.WithStrictDecoding())
	t, parts, err := parser.ParseUnverified(raw, values)
	if err != nil || strings.ContainsAny(raw, "\r\n") {
		return Claims{}, time.Time{}, false
	}
	_, critical := t.Header["crit"]
	content, _ := t.Header["cty"].(string)
	id, isString := t.Header["kid"].(string)
	if _, there := t.Header["kid"]; critical || there && !isString || strings.EqualFold(content, "JWT") {
		return Claims{}, time.Time{}, false
	}
	issuers, ok := r.librarySigner(t, id, parts[0]+"."+parts[1])
	if !ok {
		return Claims{}, time.Time{}, false
	}
	for _, part := range parts[:2] {
		if text, err := parser.DecodeSegment(part); err != nil || rawjson.CheckObject(text) != nil {
			return Claims{}, time.Time{}, false
		}
	}
	if issuer, _ := values["iss"].(string); len(issuers) > 0 && !slices.Contains(issuers, issuer) {
		return Claims{}, time.Time{}, false
	}
	if len(r.audiences) > 0 && !slices.ContainsFunc(libraryAudience(values), func(a string) bool { return slices.Contains(r.audiences, a) }) {
		return Claims{}, time.Time{}, false
	}
	return libraryClaims(values, r.userClaim)
}

// librarySigner returns the issuers that are accepted with the key that signed a token.
func (r *Keyring) librarySigner(t *jwt.Token, id, text string) (issuers []string, ok bool) {
	if t.Method.Alg() == "HS256" {
		named := slices.IndexFunc(r.keys, func(k Key) bool { return id != "" && k.ID == id })
		return r.issuers, slices.ContainsFunc(r.keys, func(k Key) bool {
			return (named < 0 || k.ID == id) && t.Method.Verify(text, t.Signature, k.Secret) == nil
		})
	}
	for _, k := range r.publicKeysFor(header{t.Method.Alg(), id}) {
		if k.method.Verify(text, t.Signature, k.key) != nil {
			continue
		}
		if k.issuer != "" {
			return []string{k.issuer}, true
		}
		return r.issuers, true
	}
	return nil, false
}

func libraryAudience(values jwt.MapClaims) (all []string) {
	switch aud := values["aud"].(type) {
	case string:
		return []string{aud}
	case []any:
		for _, entry := range aud {
			if name, ok := entry.(string); ok {
				all = append(all, name)
			}
		}
	}
	return all
}

func libraryClaims(values jwt.MapClaims, userClaim string) (c Claims, notBefore time.Time, ok bool) {
	user, userOK := libraryName(values[userClaim])
	id, idOK := libraryName(values["jti"])
	expires, expOK := libraryTime(values, "exp", true)
	notBefore, nbfOK := libraryTime(values, "nbf", false)
	issued, iatOK := libraryTime(values, "iat", false)
	if !userOK || user == "" || !idOK || !expOK || !nbfOK || !iatOK {
		return Claims{}, time.Time{}, false
	}
	c = Claims{User: user, ID: id, IssuedAt: issued, ExpiresAt: expires}
	value, scoped := values[grantClaim]
	c.Scoped = scoped
	if value == nil {
		return c, notBefore, true
	}
	members, ok := value.(map[string]any)
	if !ok {
		return Claims{}, time.Time{}, false
	}
	for name, into := range map[string]*[]string{
		"namespaces": &c.Namespaces, "rooms": &c.Rooms, "join": &c.Join, "publish": &c.Publish, "history": &c.History, "presence": &c.Presence,
	} {
		if *into, ok = libraryNames(members[name]); !ok {
			return Claims{}, time.Time{}, false
		}
	}
	if broadcast := members["broadcast"]; broadcast != nil {
		if c.Broadcast, ok = broadcast.(bool); !ok {
			return Claims{}, time.Time{}, false
		}
	}
	if data := members["data"]; data != nil {
		c.Data, _ = json.Marshal(data)
	}
	return c, notBefore, true
}

func libraryText(value any) (string, bool) {
	switch v := value.(type) {
	case string:
		return v, true
	case json.Number:
		return rawjson.NumberText(v.String())
	}
	return "", false
}

func libraryName(value any) (string, bool) {
	if value == nil {
		return "", true
	}
	name, ok := libraryText(value)
	return name, ok && len(name) <= maxNameBytes && printable(name)
}

func libraryNames(value any) ([]string, bool) {
	if value == nil {
		return nil, true
	}
	list, ok := value.([]any)
	names := make([]string, len(list))
	for i, entry := range list {
		name, isName := libraryText(entry)
		names[i], ok = name, ok && isName
	}
	return names, ok
}

func libraryTime(values jwt.MapClaims, name string, required bool) (t time.Time, ok bool) {
	value, there := values[name]
	if !there {
		return time.Time{}, !required
	}
	number, ok := value.(json.Number)
	if !ok {
		return time.Time{}, false
	}
	seconds, err := number.Float64()
	if err != nil || math.Abs(seconds) > 1e11 {
		return time.Time{}, false
	}
	whole, fraction := math.Modf(seconds)
	return time.Unix(int64(whole), int64(fraction*1e9)), true
}

// libraryRings are keyrings that a token is verified with, each by both ways.
func libraryRings(t testing.TB) []*Keyring {
	t.Helper()
	now := func() time.Time { return time.Unix(1_700_000_000, 0) }
	keys := []Key{{ID: "one", Secret: librarySecret}, {Secret: bytes.Repeat([]byte("2"), 32)}}
	var rings []*Keyring
	for _, o := range []Options{
		{Keys: keys, Now: now},
		{Keys: keys, Now: now, UserClaim: "iss", MaxBytes: 1 << 10},
		{Keys: keys[:1], Now: now, Issuers: []string{"sala", "other"}, Audiences: []string{"chat", "7"}},
	} {
		ring, err := NewKeyring(o)
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(ring.Revocations().RevokeID("revoked"), ring.Revocations().RevokeUser("ben", now())); err != nil {
			t.Fatal(err)
		}
		rings = append(rings, ring)
	}
	return rings
}

var librarySecret = bytes.Repeat([]byte("1"), 32)

// signTexts signs a header and claims as they are written.
func signTexts(header, claims string, secret []byte) string {
	encode := base64.RawURLEncoding.EncodeToString
	text := encode([]byte(header)) + "." + encode([]byte(claims))
	signature, _ := jwt.SigningMethodHS256.Sign(text, secret) // the key is one of bytes
	return text + "." + encode(signature)
}

// checkAgrees reports whether a keyring accepts a token.
func checkAgrees(t testing.TB, ring *Keyring, raw string) (accepted bool) {
	t.Helper()
	claims, err := ring.Verify(raw)
	got := ""
	var refusal *Refusal
	if errors.As(err, &refusal) {
		got = refusal.Reason
	}
	wantClaims, want := ring.libraryVerify(raw)
	if got != want || !reflect.DeepEqual(claims, wantClaims) {
		t.Errorf("%q:\n%q %+v, by the library\n%q %+v", raw, got, claims, want, wantClaims)
	}
	return got == ""
}

// libraryPieces are what [TestAgreesWithLibrary] makes claims and headers of.
var libraryPieces = struct{ names, values []string }{
	names: []string{
		"sub", "sub", "exp", "exp", "nbf", "iat", "jti", "iss", "aud", "sala", "sala", "Sub", "su\\u0062", "other", "",
		"namespaces", "rooms", "join", "publish", "history", "presence", "broadcast", "data", "Join", "broadca\u017ft", "alg", "kid", "cty", "crit", "typ",
	},
	values: []string{
		`"ana"`, `"ben"`, `"sala"`, `"chat"`, `"revoked"`, `"HS256"`, `"HS384"`, `"none"`, `"JWT"`, `"jwt"`, `"one"`, `"x\n"`, `"\u0061\ud83d\ude00"`, `"\ud800"`,
		`"` + "\xff" + `"`, `""`, `"<&>\u2028"`, `7`, `7.0`, `-0`, `1e3`, `1700000100`, `1.7000001e9`, `1700000000`, `1699999999.5`, `1700000031`, `1e400`, `-1e12`, `12345678901234567890`,
		`0.1`, `007`, `true`, `false`, `null`, `[]`, `{}`, `["chat",7,"sala"]`, `["a:*","**"]`, `[null]`, `[["a"]]`, `[true]`, `[ "a" , "b" ]`, `{"b":1,"a":[{"c":"<"},1.0]}`, `{"a":1,"a":2}`, `tru`, `[`,
	},
}

// randomObject returns the text of an object, which now and then isn't one.
func randomObject(rnd *mathrand.Rand, depth int, members ...string) string {
	for range rnd.IntN(6) {
		name := libraryPieces.names[rnd.IntN(len(libraryPieces.names))]
		value := libraryPieces.values[rnd.IntN(len(libraryPieces.values))]
		if depth < 2 && rnd.IntN(4) == 0 {
			value = randomObject(rnd, depth+1)
		}
		members = append(members, `"`+name+`"`+[]string{":", " : ", ":\n"}[rnd.IntN(3)]+value)
	}
	rnd.Shuffle(len(members), func(i, j int) { members[i], members[j] = members[j], members[i] })
	text := "{" + strings.Join(members, ",") + "}"
	switch rnd.IntN(60) {
	case 0:
		return text[:rnd.IntN(len(text))]
	case 1:
		return text + []string{" ", "{}", "x", "\n"}[rnd.IntN(4)]
	case 2:
		changed := []byte(text)
		changed[rnd.IntN(len(changed))] ^= byte(1 << rnd.IntN(8))
		return string(changed)
	}
	return text
}

// Compares Verify with the library on random tokens, most of them signed with a key of the ring, and
// on mutations of them.
func TestAgreesWithLibrary(t *testing.T) {
	rings := libraryRings(t)
	rnd := mathrand.New(mathrand.NewPCG(17, 1))
	accepted, all := 0, 0
	for range 6000 {
		header, secret := `{"alg":"HS256","typ":"JWT"}`, rings[0].keys[rnd.IntN(2)].Secret
		if rnd.IntN(4) == 0 {
			header = randomObject(rnd, 2, `"alg":"HS256"`)
		}
		if strings.Contains(header, "1e400") {
			continue // the library refuses a header with a number that no float64 holds; Verify skips it
		}
		var members []string
		if rnd.IntN(8) > 0 {
			members = []string{`"sub":"ana"`, `"exp":1700000100`}
		}
		if rnd.IntN(3) > 0 {
			members = append(members, `"sala":`+randomObject(rnd, 1))
		}
		if rnd.IntN(3) == 0 {
			members = append(members, `"iss":"sala"`, `"aud":["x","chat"]`)
		}
		raw := signTexts(header, randomObject(rnd, 0, members...), secret)
		if rnd.IntN(6) == 0 { // one character is another, or one more
			at, other := rnd.IntN(len(raw)), "AZaz09-_.=\n"[rnd.IntN(11)]
			raw = raw[:at] + string(other) + raw[at+rnd.IntN(2):]
		}
		for _, ring := range rings {
			all++
			if checkAgrees(t, ring, raw) {
				accepted++
			}
		}
	}
	if accepted < all/20 || accepted > all*19/20 {
		t.Errorf("%d of %d tokens were accepted: this tests little", accepted, all)
	}
	t.Logf("%d of %d tokens accepted", accepted, all)
}

// Compares Verify with the library: the texts signed as a token, and as a token themselves.
func FuzzAgreesWithLibrary(f *testing.F) {
	rings := libraryRings(f)
	header := `{"alg":"HS256","typ":"JWT","kid":"one"}`
	for _, value := range libraryPieces.values {
		f.Add(header, fmt.Sprintf(`{"sub":%s,"exp":1700000100,"aud":%s,"sala":{"rooms":[%s],"data":%s}}`, value, value, value, value))
		f.Add(`{"alg":"HS256","x":`+value+`}`, fmt.Sprintf(`{"sub":"ana","exp":%s,"iss":"sala","jti":%s,"sala":%s}`, value, value, value))
	}
	f.Fuzz(func(t *testing.T, header, claims string) {
		var numbers map[string]any // see TestAgreesWithLibrary
		wide := json.NewDecoder(strings.NewReader(header))
		wide.UseNumber()
		skip := wide.Decode(&numbers) == nil && json.Unmarshal([]byte(header), &numbers) != nil && json.Valid([]byte(header))
		if skip {
			t.Skip()
		}
		for _, ring := range rings {
			checkAgrees(t, ring, signTexts(header, claims, librarySecret))
			checkAgrees(t, ring, header+"."+claims)
		}
	})
}
