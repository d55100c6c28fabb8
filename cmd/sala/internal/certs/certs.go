// Package certs keeps the TLS of a listener up to date with its files.
//
// [Load] reads them once; [Source.Reload] reads them again and swaps what
// handshakes use if they have changed and are valid. Files are compared by
// what is in them, so that it doesn't matter how they were replaced: written
// in place, renamed over, or behind a symbolic link that points elsewhere now.
package certs

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// Options say what a [Source] is made from.
type Options struct {
	// Cert and Key are the files of the certificate chain and its private key,
	// in PEM form.
	Cert, Key string
	// ClientCA is the file of the authorities that sign the certificates of
	// clients, in PEM form; empty if clients need none.
	ClientCA string
	// Probes lets clients without a certificate pass the handshake, so that
	// whoever serves them can refuse all but health probes. One that isn't
	// valid is refused all the same. Only with ClientCA.
	Probes bool
	// Protocol is what the listener speaks, in the words of ALPN.
	Protocol string
}

// Source is the TLS of one listener. Its methods may be called concurrently.
type Source struct {
	options Options
	current atomic.Pointer[version]

	reloading sync.Mutex // held by Reload
}

// version is what the files held once. It doesn't change.
type version struct {
	cert, key, ca []byte
	config        *tls.Config
	notAfter      time.Time
}

// Load reads the files.
func Load(o Options) (*Source, error) {
	s := &Source{options: o}
	v, err := s.read()
	if err != nil {
		return nil, err
	}
	if err := s.parse(v); err != nil {
		return nil, err
	}
	s.current.Store(v)
	return s, nil
}

// Reload reads the files again. Handshakes from now on use what they hold, if
// that is new and valid; after an error they use what they did. Connections
// that are open stay as they are.
func (s *Source) Reload() (changed bool, err error) {
	s.reloading.Lock()
	defer s.reloading.Unlock()
	v, err := s.read()
	if err != nil {
		return false, err
	}
	now := s.current.Load()
	if bytes.Equal(v.cert, now.cert) && bytes.Equal(v.key, now.key) && bytes.Equal(v.ca, now.ca) {
		return false, nil
	}
	if err := s.parse(v); err != nil {
		return false, err
	}
	s.current.Store(v)
	return true, nil
}

// Config returns the configuration of a listener. Each handshake uses what was
// read last.
func (s *Source) Config() *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS12,
		GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
			return s.current.Load().config, nil
		},
	}
}

// NotAfter is when the certificate in use expires.
func (s *Source) NotAfter() time.Time { return s.current.Load().notAfter }

func (s *Source) read() (*version, error) {
	v := &version{}
	for _, f := range []struct {
		path string
		body *[]byte
	}{{s.options.Cert, &v.cert}, {s.options.Key, &v.key}, {s.options.ClientCA, &v.ca}} {
		if f.path == "" {
			continue
		}
		var err error
		if *f.body, err = os.ReadFile(f.path); err != nil {
			return nil, err
		}
	}
	return v, nil
}

// parse completes a version. A certificate whose key has not been written yet
// is an error like any other.
func (s *Source) parse(v *version) error {
	pair, err := tls.X509KeyPair(v.cert, v.key)
	if err != nil {
		return err
	}
	if now := time.Now(); now.After(pair.Leaf.NotAfter) {
		return fmt.Errorf("the certificate expired at %s", pair.Leaf.NotAfter.UTC().Format(time.RFC3339))
	}
	v.notAfter = pair.Leaf.NotAfter
	v.config = &tls.Config{
		MinVersion:   tls.VersionTLS12,
		Certificates: []tls.Certificate{pair},
		NextProtos:   []string{s.options.Protocol},
	}
	if s.options.ClientCA == "" {
		return nil
	}
	v.config.ClientCAs = x509.NewCertPool()
	if !v.config.ClientCAs.AppendCertsFromPEM(v.ca) {
		return errors.New("the file of the clients' authorities holds no certificate in PEM form")
	}
	v.config.ClientAuth = tls.RequireAndVerifyClientCert
	if s.options.Probes {
		v.config.ClientAuth = tls.VerifyClientCertIfGiven
	}
	// A session that is taken up again isn't checked against the authorities,
	// which may be others by then.
	v.config.SessionTicketsDisabled = true
	return nil
}
