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

// Listener is where one of the listeners is to listen, and how.
type Listener struct {
	// Name is what logs call it: public, grpc, http or metrics.
	Name string
	// Flag is the flag that sets the address.
	Flag string
	// Addr is the address as it was given.
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
		p.addf("--control-client-ca needs --control-tls-cert and --control-tls-key beside it: without TLS nobody shows a certificate")
	}
	insecure := f.InsecureControl || f.ControlTLSCert != "" || f.ControlTLSKey != ""
	p.add(public.check(true))
	p.add(grpc.check(insecure))
	p.add(http.check(insecure))
	return public, grpc, http
}

// HTTPListener returns where a node with these flags serves REST and its health,
// without a look at the rest of its configuration.
func (f *Flags) HTTPListener() (Listener, error) {
	var p problems
	l := f.httpListener()
	p.add(l.check(true))
	var err error
	l.TLS, err = f.controlTLS("http/1.1")
	p.add(err)
	return l, p.err()
}

// metricsListener returns nil if there is none. It may be reached from anywhere,
// since no key crosses the network, and asks for no certificate.
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
	if f.ControlTLSCert != "" && f.ControlTLSKey != "" { // or it has been said already
		p.add(err)
	}
	return l
}

func (f *Flags) httpListener() Listener {
	return Listener{Name: "http", Flag: HTTPFlag, Addr: f.HTTPListen}
}

// controlTLS loads the certificates of the control listener that speaks protocol.
// Those who ask for its health over HTTP need no certificate.
func (f *Flags) controlTLS(protocol string) (*certs.Source, error) {
	return loadTLS("--control-tls-cert", "--control-tls-key", certs.Options{
		Cert: string(f.ControlTLSCert), Key: string(f.ControlTLSKey), ClientCA: string(f.ControlClientCA),
		Protocol: protocol, Probes: protocol == "http/1.1",
	})
}

// check refuses an address that means nothing and, unless others may connect,
// one that isn't on the loopback interface.
func (l *Listener) check(open bool) error {
	addr, err := net.ResolveTCPAddr("tcp", l.Addr)
	if err != nil || l.Addr == "" {
		return fmt.Errorf("%s %q is no address to listen on; one looks like 127.0.0.1:3000 or, for all interfaces, :3000", l.Flag, l.Addr)
	}
	if open || addr.IP.IsLoopback() {
		return nil
	}
	return fmt.Errorf("%s %s can be reached from other machines, and API keys would cross the network in the clear: "+
		"listen on 127.0.0.1, or give --control-tls-cert and --control-tls-key, or, if a proxy in front encrypts, allow it with --insecure-control", l.Flag, l.Addr)
}

func loadTLS(certFlag, keyFlag string, o certs.Options) (*certs.Source, error) {
	switch {
	case o.Cert == "" && o.Key == "":
		return nil, nil
	case o.Key == "":
		return nil, fmt.Errorf("%s needs %s beside it", certFlag, keyFlag)
	case o.Cert == "":
		return nil, fmt.Errorf("%s needs %s beside it", keyFlag, certFlag)
	}
	source, err := certs.Load(o)
	switch {
	case err != nil && o.ClientCA != "":
		return nil, fmt.Errorf("%s, %s and --control-client-ca can't be used: %w", certFlag, keyFlag, err)
	case err != nil:
		return nil, fmt.Errorf("%s and %s can't be used: %w", certFlag, keyFlag, err)
	}
	return source, nil
}
