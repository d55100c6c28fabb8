package config

import (
	"fmt"
	"net"

	"github.com/salabroker/sala/cmd/sala/internal/certs"
)

// PublicFlag is the Flag of the listener that clients connect to.
const PublicFlag = "--listen"

// GRPCFlag is the Flag of the listener for gRPC.
const GRPCFlag = "--grpc-listen"

// HTTPFlag is the Flag of the listener for REST.
const HTTPFlag = "--http-listen"

// MetricsFlag is the Flag of the listener for metrics alone.
const MetricsFlag = "--metrics-listen"

// Listener configures one of the listeners.
type Listener struct {
	// Name is its name in logs and metrics: public, grpc, http or metrics.
	Name string
	// Flag is the flag that sets the address.
	Flag string
	// Addr is the configured address.
	Addr string
	// TLS is nil for plain TCP.
	TLS *certs.Source
}

// listeners checks the addresses and loads the certificates.
func (f *Flags) listeners(p *problems) (public, grpc, http Listener) {
	public = Listener{Name: "public", Flag: PublicFlag, Addr: f.Listen}
	grpc = Listener{Name: "grpc", Flag: GRPCFlag, Addr: f.GRPCListen}
	http = f.httpListener()
	var err error
	public.TLS, err = loadTLS("--tls-cert", "--tls-key", certs.Options{
		Cert: string(f.TLSCert), Key: string(f.TLSKey), Protocol: "http/1.1",
	})
	p.add(err)
	grpc.TLS, err = f.controlTLS("h2")
	p.add(err)
	if grpc.TLS != nil {
		http.TLS, err = f.controlTLS("http/1.1")
		p.add(err)
	}
	if f.ControlClientCA != "" && f.ControlTLSCert == "" {
		p.addf("--control-client-ca also needs --control-tls-cert and --control-tls-key: without TLS no caller presents a certificate")
	}
	insecure := f.InsecureControl || f.ControlTLSCert != "" || f.ControlTLSKey != ""
	p.add(public.check(true))
	p.add(grpc.check(insecure))
	p.add(http.check(insecure))
	return public, grpc, http
}

// HTTPListener returns the listener for REST and health checks. It ignores the rest of the
// configuration.
func (f *Flags) HTTPListener() (Listener, error) {
	var p problems
	l := f.httpListener()
	p.add(l.check(true))
	var err error
	l.TLS, err = f.controlTLS("http/1.1")
	p.add(err)
	return l, p.err()
}

// metricsListener returns nil if there is none. It may be reachable from anywhere, because no API
// key crosses the network, and it asks for no certificate.
func (f *Flags) metricsListener(p *problems) *Listener {
	if f.MetricsListen == "" {
		return nil
	}
	l := &Listener{Name: "metrics", Flag: MetricsFlag, Addr: f.MetricsListen}
	p.add(l.check(true))
	var err error
	l.TLS, err = loadTLS("--control-tls-cert", "--control-tls-key", certs.Options{
		Cert: string(f.ControlTLSCert), Key: string(f.ControlTLSKey), Protocol: "http/1.1",
	})
	if f.ControlTLSCert != "" && f.ControlTLSKey != "" { // otherwise listeners has reported it
		p.add(err)
	}
	return l
}

func (f *Flags) httpListener() Listener {
	return Listener{Name: "http", Flag: HTTPFlag, Addr: f.HTTPListen}
}

// controlTLS loads the certificates of the control listener that speaks protocol. Health checks
// over HTTP need no client certificate.
func (f *Flags) controlTLS(protocol string) (*certs.Source, error) {
	return loadTLS("--control-tls-cert", "--control-tls-key", certs.Options{
		Cert: string(f.ControlTLSCert), Key: string(f.ControlTLSKey), ClientCA: string(f.ControlClientCA),
		Protocol: protocol, Probes: protocol == "http/1.1",
	})
}

// check refuses an invalid address and, unless open, one that other machines can reach.
func (l *Listener) check(open bool) error {
	addr, err := net.ResolveTCPAddr("tcp", l.Addr)
	if err != nil || l.Addr == "" {
		return fmt.Errorf("%s %q is not an address to listen on; write it like 127.0.0.1:3000, or :3000 for all interfaces", l.Flag, l.Addr)
	}
	if open || addr.IP.IsLoopback() {
		return nil
	}
	return fmt.Errorf("%s %s can be reached from other machines, and API keys would cross the network unencrypted: "+
		"listen on 127.0.0.1, or set --control-tls-cert and --control-tls-key, or, if a proxy in front encrypts, allow it with --insecure-control", l.Flag, l.Addr)
}

func loadTLS(certFlag, keyFlag string, o certs.Options) (*certs.Source, error) {
	switch {
	case o.Cert == "" && o.Key == "":
		return nil, nil
	case o.Key == "":
		return nil, fmt.Errorf("%s also needs %s", certFlag, keyFlag)
	case o.Cert == "":
		return nil, fmt.Errorf("%s also needs %s", keyFlag, certFlag)
	}
	source, err := certs.Load(o)
	switch {
	case err != nil && o.ClientCA != "":
		return nil, fmt.Errorf("can't use %s, %s and --control-client-ca: %w", certFlag, keyFlag, err)
	case err != nil:
		return nil, fmt.Errorf("can't use %s and %s: %w", certFlag, keyFlag, err)
	}
	return source, nil
}
