package jwks

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/salabroker/sala/broker/token"
)

func TestURLs(t *testing.T) {
	for raw, want := range map[string]string{
		"https://idp.example/.well-known/jwks.json": "",
		"https://idp.example:8443/keys?p=policy":    "",
		"http://127.0.0.1:8080/keys":                "",
		"http://[::1]:8080/keys":                    "",
		"http://localhost/keys":                     "",
		"http://idp.example/keys":                   "must begin with https://",
		"http://127.0.0.1.example/keys":             "must begin with https://",
		"http://169.254.169.254/keys":               "must begin with https://",
		"ftp://idp.example/keys":                    "must begin with https://",
		"file:///etc/passwd":                        "not a URL",
		"https://ana:secret@idp.example/":           "user or password",
		"https://idp.example/#keys":                 "fragment",
		"idp.example/keys":                          "not a URL",
		"":                                          "not a URL",
		"https:":                                    "not a URL",
	} {
		_, err := New(Options{URL: raw})
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", raw, err, want)
		}
		if err != nil && strings.Contains(err.Error(), "secret") {
			t.Errorf("the error shows a password: %v", err)
		}
	}
}

// answer is the answer of a fake issuer.
type answer struct {
	status int
	body   string
	err    error
	hang   bool
}

// issuer answers requests without a network, so that tests can run in a synctest bubble.
type issuer struct {
	mu    sync.Mutex
	next  answer
	asked []time.Time
}

func (i *issuer) say(a answer) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.next = a
}

func (i *issuer) requests() int {
	i.mu.Lock()
	defer i.mu.Unlock()
	return len(i.asked)
}

func (i *issuer) RoundTrip(r *http.Request) (*http.Response, error) {
	i.mu.Lock()
	i.asked = append(i.asked, time.Now())
	a := i.next
	i.mu.Unlock()
	if a.hang {
		<-r.Context().Done()
		return nil, r.Context().Err()
	}
	if a.err != nil {
		return nil, a.err
	}
	return &http.Response{
		StatusCode: a.status, Header: make(http.Header), Request: r, Body: io.NopCloser(strings.NewReader(a.body)),
	}, nil
}

// start runs a set against the issuer until the test ends.
func start(t *testing.T, i *issuer, log *slog.Logger) *Set {
	t.Helper()
	s, err := New(Options{URL: "https://idp.example/keys?secret=1", Issuer: "https://idp.example/", Transport: i})
	if err != nil {
		t.Fatal(err)
	}
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.Run(ctx, log)
	}()
	t.Cleanup(func() {
		stop()
		<-done
	})
	return s
}

func kids(s *Set) string {
	keys, ok := s.Keys()
	if !ok {
		return "never"
	}
	return strings.Join(ids(keys), " ")
}

func TestKeysAreFetchedAgain(t *testing.T) {
	k := newKeys(t)
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		one := publish(t, k.ed.Public(), map[string]any{"kid": "one"})
		two := publish(t, &k.ec.PublicKey, map[string]any{"kid": "two"})
		i := &issuer{next: answer{status: 200, body: string(document(one))}}
		s := start(t, i, slog.New(slog.NewTextHandler(&log, nil)))
		synctest.Wait()
		if got := kids(s); got != "one" {
			t.Fatalf("the keys are %q", got)
		}
		before, _ := s.Keys()
		i.say(answer{status: 200, body: string(document(one, two))})
		<-time.After(interval)
		synctest.Wait()
		after, _ := s.Keys()
		if got := kids(s); got != "one two" || after[0] != before[0] {
			t.Errorf("after 5 minutes the keys are %q, and the first is the same: %t", got, after[0] == before[0])
		}
		// A key that is gone is gone; all of them, too, if the issuer says so.
		i.say(answer{status: 200, body: string(document(two))})
		<-time.After(interval)
		synctest.Wait()
		if got := kids(s); got != "two" {
			t.Errorf("the keys are %q", got)
		}
		i.say(answer{status: 200, body: `{"keys":[]}`})
		<-time.After(interval)
		synctest.Wait()
		if got := kids(s); got != "" {
			t.Errorf("the keys are %q", got)
		}
		if strings.Contains(log.String(), "secret") || strings.Count(log.String(), "\n") != 4 {
			t.Errorf("the log is\n%s", &log)
		}
	})
}

func TestFailuresChangeNothing(t *testing.T) {
	k := newKeys(t)
	good := answer{status: 200, body: string(document(publish(t, k.ed.Public(), map[string]any{"kid": "one"})))}
	for name, bad := range map[string]answer{
		"refused":     {err: errors.New("connection refused")},
		"hanging":     {hang: true},
		"not found":   {status: 404, body: good.body},
		"an error":    {status: 500, body: `{"keys":[]}`},
		"empty":       {status: 204},
		"a page":      {status: 200, body: "<html>"},
		"no keys":     {status: 200, body: "{}"},
		"too much":    {status: 200, body: good.body + strings.Repeat(" ", maxDocument)},
		"a redirect":  {status: 302, body: good.body},
		"partial":     {status: 206, body: good.body},
		"broken off":  {status: 200, body: good.body[:len(good.body)-1]},
		"many of one": {status: 200, body: `{"keys":[` + strings.Repeat(`{},`, maxKeys) + `{}]}`},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				i := &issuer{next: bad}
				s := start(t, i, nil)
				<-time.After(fetchTimeout)
				synctest.Wait()
				if got := kids(s); got != "never" {
					t.Fatalf("the keys are %q", got)
				}
				i.say(good)
				<-time.After(retry)
				synctest.Wait()
				if got := kids(s); got != "one" {
					t.Fatalf("the keys are %q after the issuer is there", got)
				}
				i.say(bad)
				<-time.After(time.Hour)
				synctest.Wait()
				if got := kids(s); got != "one" {
					t.Errorf("the keys are %q after an hour without the issuer", got)
				}
				if n := testutil.ToFloat64(s.fetches.WithLabelValues(failed)); n < 12 || n > 18 {
					t.Errorf("it was tried %v times in an hour", n)
				}
			})
		})
	}
}

func TestUnknownKeysAreLookedForNowAndThen(t *testing.T) {
	k := newKeys(t)
	synctest.Test(t, func(t *testing.T) {
		i := &issuer{next: answer{status: 200, body: string(document(publish(t, k.ed.Public(), map[string]any{"kid": "one"})))}}
		s := start(t, i, nil)
		synctest.Wait()
		if s.Refresh() != nil {
			t.Error("it fetches again at once")
		}
		<-time.After(cooldown)
		// However many ask, it is one fetch.
		i.say(answer{hang: true})
		first := s.Refresh()
		for range 100 {
			if s.Refresh() != first {
				t.Fatal("each caller starts a fetch of its own")
			}
		}
		<-first
		if n := i.requests(); n != 2 {
			t.Errorf("%d requests, want 2", n)
		}
		begun := time.Now()
		asked := i.requests()
		for time.Since(begun) < time.Hour {
			if looked := s.Refresh(); looked != nil {
				<-looked
			}
			<-time.After(time.Second)
		}
		if n := i.requests() - asked; n > int(time.Hour/cooldown) || n < 200 {
			t.Errorf("tokens that name unknown keys cause %d fetches an hour", n)
		}
	})
}

func TestRedirectsLeadNowhere(t *testing.T) {
	k := newKeys(t)
	asked := 0
	elsewhere := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		asked++
		_, _ = w.Write(document(publish(t, k.ed.Public(), nil)))
	}))
	defer elsewhere.Close()
	for name, to := range map[string]string{"another server": elsewhere.URL, "itself": "/elsewhere"} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path != "/" {
				asked++
			}
			http.Redirect(w, r, to, http.StatusFound)
		}))
		s, err := New(Options{URL: server.URL})
		if err != nil {
			t.Fatal(err)
		}
		if err := s.refresh(t.Context(), slog.New(slog.DiscardHandler)); err == nil || !strings.Contains(err.Error(), "it redirects") {
			t.Errorf("to %s: %v", name, err)
		}
		s.client.CloseIdleConnections()
		server.Close()
	}
	if asked > 0 {
		t.Errorf("redirects are followed")
	}
}

// sign returns a token of the issuer.
func sign(t *testing.T, k testKeys, kid, issuer string) string {
	t.Helper()
	unsigned := jwt.NewWithClaims(jwt.SigningMethodEdDSA, jwt.MapClaims{"sub": "ana", "exp": time.Now().Add(time.Hour).Unix(), "iss": issuer})
	if kid != "" {
		unsigned.Header["kid"] = kid
	}
	raw, err := unsigned.SignedString(k.ed)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func TestTokensOfAnIssuer(t *testing.T) {
	k := newKeys(t)
	synctest.Test(t, func(t *testing.T) {
		i := &issuer{next: answer{hang: true}}
		s := start(t, i, nil)
		ring, err := token.NewKeyring(token.Options{Sources: []token.Source{s}})
		if err != nil {
			t.Fatal(err)
		}
		const us = "https://idp.example/"
		verdict := func(raw string) string {
			t.Helper()
			_, err := ring.Verify(raw)
			var refusal *token.Refusal
			if errors.As(err, &refusal) {
				return refusal.Reason
			}
			return ""
		}
		// Nothing was fetched yet: Verify waits briefly, and doesn't call the token invalid.
		begun := time.Now()
		if got := verdict(sign(t, k, "one", us)); got != token.ReasonKeysUnavailable {
			t.Errorf("without keys: %q", got)
		}
		if d := time.Since(begun); d != 2*time.Second {
			t.Errorf("it waited for %s", d)
		}
		one := publish(t, k.ed.Public(), map[string]any{"kid": "one"})
		i.say(answer{status: 200, body: string(document(one))})
		<-time.After(retry + fetchTimeout)
		synctest.Wait()
		for name, tt := range map[string]struct{ raw, want string }{
			"its key":        {sign(t, k, "one", us), ""},
			"no kid":         {sign(t, k, "", us), ""},
			"another kid":    {sign(t, k, "two", us), token.ReasonInvalid},
			"another issuer": {sign(t, k, "one", "https://evil.example/"), token.ReasonInvalid},
			"an unknown key": {sign(t, newKeys(t), "one", us), token.ReasonInvalid},
		} {
			if got := verdict(tt.raw); got != tt.want {
				t.Errorf("%s: %q, want %q", name, got, tt.want)
			}
		}
		// A new key, which signs tokens before this broker has fetched it.
		next := newKeys(t)
		i.say(answer{status: 200, body: string(document(one, publish(t, next.ed.Public(), map[string]any{"kid": "next"})))})
		<-time.After(cooldown)
		var asking sync.WaitGroup
		asked := i.requests()
		for range 50 {
			asking.Go(func() {
				if got := verdict(sign(t, next, "next", us)); got != "" {
					t.Errorf("a token by a new key: %q", got)
				}
				if got := verdict(sign(t, k, "one", us)); got != "" {
					t.Errorf("a token by the old key: %q", got)
				}
			})
		}
		asking.Wait()
		if n := i.requests() - asked; n != 1 {
			t.Errorf("%d fetches, want 1", n)
		}
		// Of several keys that could be meant a token has to name one.
		if got := verdict(sign(t, k, "", us)); got != token.ReasonInvalid {
			t.Errorf("no kid, two keys: %q", got)
		}
		// A key that the issuer removes.
		i.say(answer{status: 200, body: string(document(publish(t, next.ed.Public(), map[string]any{"kid": "next"})))})
		<-time.After(interval)
		synctest.Wait()
		if got := verdict(sign(t, k, "one", us)); got != token.ReasonInvalid {
			t.Errorf("a token by a key that is gone: %q", got)
		}
	})
}

func TestUserAgent(t *testing.T) {
	k := newKeys(t)
	agents := make(chan string, 1)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		agents <- r.UserAgent()
		_, _ = w.Write(document(publish(t, k.ed.Public(), nil)))
	}))
	defer server.Close()
	s, err := New(Options{URL: server.URL, UserAgent: "sala/test"})
	if err != nil {
		t.Fatal(err)
	}
	defer s.client.CloseIdleConnections()
	if err := s.refresh(t.Context(), slog.New(slog.DiscardHandler)); err != nil {
		t.Fatal(err)
	}
	if got := <-agents; got != "sala/test" {
		t.Errorf("the issuer is asked by %q", got)
	}
}
