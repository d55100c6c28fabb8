package certs

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/salabroker/sala/cmd/sala/internal/certs/certstest"
)

// folder holds the files of a listener.
type folder struct {
	t   *testing.T
	dir string
}

func (f folder) path(name string) string { return filepath.Join(f.dir, name) }

func (f folder) write(name string, body []byte) {
	f.t.Helper()
	if err := os.WriteFile(f.path(name), body, 0o600); err != nil {
		f.t.Fatal(err)
	}
}

func (f folder) writePair(p certstest.Pair) {
	f.t.Helper()
	f.write("tls.crt", p.Cert)
	f.write("tls.key", p.Key)
}

func later() time.Time { return time.Now().Add(time.Hour) }

func load(t *testing.T, f folder, edits ...func(*Options)) *Source {
	t.Helper()
	o := Options{Cert: f.path("tls.crt"), Key: f.path("tls.key"), Protocol: "h2"}
	for _, edit := range edits {
		edit(&o)
	}
	s, err := Load(o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// listen echoes one byte to whoever gets through the handshake.
func listen(t *testing.T, s *Source) string {
	t.Helper()
	l, err := tls.Listen("tcp", "127.0.0.1:0", s.Config())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = io.CopyN(conn, conn, 1)
			_ = conn.Close()
		}
	}()
	return l.Addr().String()
}

// dial returns whom the server says that it is.
func dial(addr string, config *tls.Config) (name string, err error) {
	conn, err := tls.Dial("tcp", addr, config)
	if err != nil {
		return "", err
	}
	defer func() { _ = conn.Close() }()
	if err := conn.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		return "", err
	}
	// With TLS 1.3 only reading tells whether the server accepts the client.
	if _, err := conn.Write([]byte("x")); err != nil {
		return "", err
	}
	if _, err := io.ReadFull(conn, make([]byte, 1)); err != nil {
		return "", err
	}
	return conn.ConnectionState().PeerCertificates[0].Subject.CommonName, nil
}

func trust(ca *certstest.CA) *tls.Config {
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(ca.Cert)
	return &tls.Config{RootCAs: pool, ServerName: "127.0.0.1"}
}

func wantServer(t *testing.T, addr string, config *tls.Config, want string) {
	t.Helper()
	if got, err := dial(addr, config); err != nil || got != want {
		t.Errorf("the server is %q, %v; want %q", got, err, want)
	}
}

func TestReload(t *testing.T) {
	ca := certstest.NewCA(t, "authority")
	f := folder{t, t.TempDir()}
	f.writePair(ca.Issue(t, "first", later()))
	s := load(t, f)
	addr := listen(t, s)
	wantServer(t, addr, trust(ca), "first")

	if changed, err := s.Reload(); changed || err != nil {
		t.Errorf("nothing has changed: %t, %v", changed, err)
	}
	second := ca.Issue(t, "second", later())
	for _, step := range []struct {
		name     string
		do       func()
		changed  bool
		says     string
		isServed string
	}{
		{"the certificate without its key", func() { f.write("tls.crt", second.Cert) }, false, "private key", "first"},
		{"nonsense", func() { f.write("tls.crt", []byte("nonsense")) }, false, "PEM", "first"},
		{"one that has expired", func() { f.writePair(ca.Issue(t, "old", time.Now().Add(-time.Hour))) }, false, "expired at", "first"},
		{"no file", func() { _ = os.Remove(f.path("tls.crt")) }, false, "no such file", "first"},
		{"both", func() { f.writePair(second) }, true, "", "second"},
	} {
		step.do()
		changed, err := s.Reload()
		if changed != step.changed || (err == nil) != (step.says == "") || (err != nil && !strings.Contains(err.Error(), step.says)) {
			t.Errorf("%s: %t, %v; want %t, %q", step.name, changed, err, step.changed, step.says)
		}
		wantServer(t, addr, trust(ca), step.isServed)
	}
}

// As Kubernetes does: the files are links to a folder that is a link itself,
// which is replaced by renaming. All files have the same time.
func TestReloadBehindLinks(t *testing.T) {
	ca := certstest.NewCA(t, "authority")
	f := folder{t, t.TempDir()}
	at := time.Now().Add(-time.Minute)
	version := func(name string) {
		if err := os.Mkdir(f.path(name), 0o700); err != nil {
			t.Fatal(err)
		}
		folder{t, f.path(name)}.writePair(ca.Issue(t, name, later()))
		for _, file := range []string{"tls.crt", "tls.key"} {
			if err := os.Chtimes(filepath.Join(f.path(name), file), at, at); err != nil {
				t.Fatal(err)
			}
		}
		if err := errors.Join(os.Symlink(name, f.path("..tmp")), os.Rename(f.path("..tmp"), f.path("..data"))); err != nil {
			t.Fatal(err)
		}
	}
	version("one")
	for _, file := range []string{"tls.crt", "tls.key"} {
		if err := os.Symlink("..data/"+file, f.path(file)); err != nil {
			t.Fatal(err)
		}
	}
	s := load(t, f)
	addr := listen(t, s)
	wantServer(t, addr, trust(ca), "one")
	version("two")
	if changed, err := s.Reload(); !changed || err != nil {
		t.Errorf("Reload: %t, %v", changed, err)
	}
	wantServer(t, addr, trust(ca), "two")
}

func TestClientCertificates(t *testing.T) {
	ca, ours, others := certstest.NewCA(t, "authority"), certstest.NewCA(t, "ours"), certstest.NewCA(t, "others")
	with := func(p certstest.Pair) *tls.Config {
		pair, err := tls.X509KeyPair(p.Cert, p.Key)
		if err != nil {
			t.Fatal(err)
		}
		config := trust(ca)
		config.ClientSessionCache = tls.NewLRUClientSessionCache(1)
		// Without this it would keep to itself what the server doesn't ask for.
		config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &pair, nil }
		return config
	}
	client := with(ours.Issue(t, "client", later()))
	for _, tt := range []struct {
		name                   string
		config                 *tls.Config
		required, probesPassed bool
	}{
		{"none", trust(ca), false, true},
		{"one of ours", client, true, true},
		{"one of others", with(others.Issue(t, "client", later())), false, false},
		{"one that has expired", with(ours.Issue(t, "client", time.Now().Add(-time.Minute))), false, false},
		{"one that signs itself", with(certstest.NewCA(t, "ours").Pair), false, false},
		{"TLS 1.1", &tls.Config{RootCAs: trust(ca).RootCAs, ServerName: "127.0.0.1", MaxVersion: tls.VersionTLS11}, false, false},
	} {
		for probes, want := range map[bool]bool{false: tt.required, true: tt.probesPassed} {
			f := folder{t, t.TempDir()}
			f.writePair(ca.Issue(t, "server", later()))
			f.write("ca.crt", ours.Cert)
			s := load(t, f, func(o *Options) { o.ClientCA, o.Probes = f.path("ca.crt"), probes })
			if _, err := dial(listen(t, s), tt.config); (err == nil) != want {
				t.Errorf("%s, probes %t: %v, want that it passes: %t", tt.name, probes, err, want)
			}
		}
	}
}

// A client that returns needs no signature of the server, also when the certificate was renewed.
func TestSessionsAreResumed(t *testing.T) {
	ca := certstest.NewCA(t, "authority")
	f := folder{t, t.TempDir()}
	f.writePair(ca.Issue(t, "server", later()))
	s := load(t, f)
	addr := listen(t, s)
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		resumed := false
		client := trust(ca)
		client.MaxVersion = version
		client.ClientSessionCache = tls.NewLRUClientSessionCache(1)
		client.VerifyConnection = func(state tls.ConnectionState) error {
			resumed = state.DidResume
			return nil
		}
		for _, want := range []bool{false, true, true} {
			wantServer(t, addr, client, "server")
			if resumed != want {
				t.Errorf("%s: resumed %t, want %t", tls.VersionName(version), resumed, want)
			}
			f.writePair(ca.Issue(t, "server", later()))
			if changed, err := s.Reload(); !changed || err != nil {
				t.Fatalf("Reload: %t, %v", changed, err)
			}
		}
	}
}

// A client of an authority that isn't trusted any more doesn't get in with the
// session that it had.
func TestAuthorityIsTakenAway(t *testing.T) {
	ca, old, fresh := certstest.NewCA(t, "authority"), certstest.NewCA(t, "old"), certstest.NewCA(t, "fresh")
	f := folder{t, t.TempDir()}
	f.writePair(ca.Issue(t, "server", later()))
	f.write("ca.crt", old.Cert)
	s := load(t, f, func(o *Options) { o.ClientCA = f.path("ca.crt") })
	addr := listen(t, s)
	p := old.Issue(t, "client", later())
	pair, err := tls.X509KeyPair(p.Cert, p.Key)
	if err != nil {
		t.Fatal(err)
	}
	client := trust(ca)
	client.Certificates = []tls.Certificate{pair}
	sessions := tls.NewLRUClientSessionCache(1)
	client.ClientSessionCache = sessions
	for range 2 {
		wantServer(t, addr, client, "server")
	}
	if _, kept := sessions.Get(client.ServerName); kept {
		t.Error("the client got a session that it could take up again")
	}
	f.write("ca.crt", []byte("nonsense"))
	if _, err := s.Reload(); err == nil {
		t.Error("nonsense was taken for authorities")
	}
	wantServer(t, addr, client, "server")
	f.write("ca.crt", fresh.Cert)
	if changed, err := s.Reload(); !changed || err != nil {
		t.Fatalf("Reload: %t, %v", changed, err)
	}
	if _, err := dial(addr, client); err == nil {
		t.Error("a client of an authority that isn't trusted any more gets in")
	}
}

func TestLoadRefuses(t *testing.T) {
	ca := certstest.NewCA(t, "authority")
	f := folder{t, t.TempDir()}
	f.writePair(ca.Issue(t, "server", later()))
	f.write("empty", nil)
	for says, o := range map[string]Options{
		"no such file": {Cert: f.path("nowhere"), Key: f.path("tls.key")},
		"PEM":          {Cert: f.path("empty"), Key: f.path("tls.key")},
		"authorities":  {Cert: f.path("tls.crt"), Key: f.path("tls.key"), ClientCA: f.path("empty")},
	} {
		if _, err := Load(o); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%+v: %v, want %q", o, err, says)
		}
	}
}
