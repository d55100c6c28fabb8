// Package certs keeps the TLS configuration of a listener up to date with its files.
//
// [Load] reads the files. [Source.Reload] reads them again and, if they have changed and are valid,
// uses them for new handshakes. Files are compared by content, so it doesn't matter whether they
// were written in place, replaced by a rename, or are behind a symbolic link that changed.
package certs

import (
	"bytes"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// Options configures a [Source].
type Options struct {
	// Cert and Key are the files (PEM) of the certificate chain and its private key.
	Cert, Key string
	// ClientCA is the file (PEM) of the authorities that sign client certificates; empty if clients
	// need none.
	ClientCA string
	// Probes, with ClientCA, lets clients without a certificate pass the handshake, so that the
	// server can answer their health probes and refuse the rest. An invalid certificate still fails
	// the handshake.
	Probes bool
	// Protocol is the ALPN name of the listener's protocol.
	Protocol string
}

// Source is the TLS configuration of one listener. It is safe for concurrent use.
type Source struct {
	options Options
	current atomic.Pointer[version]

	reloading sync.Mutex // held by Reload
}

// version is the content of the files at one time. It is immutable.
type version struct {
	cert, key, ca []byte
	config        *tls.Config
	notAfter      time.Time
	sum           []byte // SHA-256 of the certificate
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

// Reload reads the files again. If they have changed and are valid, new handshakes use them. After an
// error, handshakes use the previous version. Open connections stay as they are.
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

// Config returns the configuration for a listener. Each handshake uses the current version.
func (s *Source) Config() *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS12,
		GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
			return s.current.Load().config, nil
		},
	}
}

// Sum is the SHA-256 of the certificate in use.
func (s *Source) Sum() []byte { return s.current.Load().sum }

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

// parse completes a version. A certificate without its matching key, for example because that isn't
// written yet, is an error.
func (s *Source) parse(v *version) error {
	pair, err := tls.X509KeyPair(v.cert, v.key)
	if err != nil {
		return err
	}
	if now := time.Now(); now.After(pair.Leaf.NotAfter) {
		return fmt.Errorf("the certificate expired at %s", pair.Leaf.NotAfter.UTC().Format(time.RFC3339))
	}
	v.notAfter = pair.Leaf.NotAfter
	sum := sha256.Sum256(pair.Leaf.Raw)
	v.sum = sum[:]
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
		return errors.New("the file of the client authorities contains no certificate in PEM form")
	}
	v.config.ClientAuth = tls.RequireAndVerifyClientCert
	if s.options.Probes {
		v.config.ClientAuth = tls.VerifyClientCertIfGiven
	}
	// A resumed session isn't checked against the authorities, which may have changed.
	v.config.SessionTicketsDisabled = true
	return nil
}
