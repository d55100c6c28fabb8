package main

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"sync"
	"time"

	"github.com/zishang520/socket.io/clients/engine/v3/transports"
	"github.com/zishang520/socket.io/clients/socket/v3"
	"github.com/zishang520/socket.io/v3/pkg/types"
)

// optionsVariable is the environment variable with the options.
const optionsVariable = "SALA_CONNECT"

// options are what "sala connect" passes on: its flags, checked. Both sides have the same names.
type options struct {
	URL       string          `json:"url"`       // with a scheme, without a namespace
	Namespace string          `json:"namespace"` // begins with a slash
	Path      string          `json:"path"`      // such as /socket.io/
	Query     string          `json:"query"`     // parameters of the URL
	Transport string          `json:"transport"` // websocket or polling
	Auth      map[string]any  `json:"auth"`      // what the client sends as auth, the token included
	Headers   http.Header     `json:"headers"`   // further headers of its requests
	TLSCA     string          `json:"tlsCA"`     // file with certificates, empty for those of the system
	Join      []string        `json:"join"`      // rooms to join
	JoinEvent string          `json:"joinEvent"` // the event that joins a room
	Ack       json.RawMessage `json:"ack"`       // the answer to events that ask for one; empty: none
	Count     int             `json:"count"`     // ends after this many events; 0: never
	NoInput   bool            `json:"noInput"`   // doesn't read standard input
	JSON      bool            `json:"json"`      // prints lines of JSON
	Timeout   time.Duration   `json:"timeout"`   // for the connect and for each ack, in nanoseconds
}

func parseOptions(text string) (*options, error) {
	if text == "" {
		return nil, errors.New(`sala-connect is a part of "sala connect"; run that`)
	}
	o := &options{}
	decoder := json.NewDecoder(bytes.NewBufferString(text))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(o); err != nil {
		return nil, errors.New("sala and sala-connect are not of the same version; install both again")
	}
	return o, nil
}

// overPolling is the transport that isn't WebSocket.
const overPolling = "polling"

// dial returns a client that doesn't connect yet. Its owner closes begun after the call that connects.
// Over long-polling, sending counts the requests with which the client sends.
func (o *options) dial(begun <-chan struct{}, sending *sync.WaitGroup) (*socket.Socket, error) {
	settings := socket.DefaultOptions()
	settings.SetAutoConnect(false)
	settings.SetForceNew(true)
	settings.SetPath(o.Path)
	settings.SetAuth(o.Auth)
	settings.SetExtraHeaders(o.Headers)
	settings.SetTimeout(o.Timeout)
	query, err := url.ParseQuery(o.Query)
	if err != nil {
		return nil, fmt.Errorf("the parameters of the URL can't be read: %w", err)
	}
	settings.SetQuery(query)
	requests := &http.Transport{}
	if o.TLSCA != "" {
		trusted, err := readCA(o.TLSCA)
		if err != nil {
			return nil, err
		}
		settings.SetTLSClientConfig(trusted)
		requests.TLSClientConfig = trusted
	}
	var transport transports.TransportCtor = &webSocketCtor{begun: begun}
	if o.Transport == overPolling {
		transport = &pollingCtor{http: &http.Client{Transport: requests}, begun: begun, sending: sending}
	}
	settings.SetTransports(types.NewSet(transport))
	return socket.NewManager(o.URL, settings).Socket(o.Namespace, settings), nil
}

func readCA(file string) (*tls.Config, error) {
	pem, err := os.ReadFile(file) //nolint:gosec // the user names it
	if err != nil {
		return nil, fmt.Errorf("can't read the file of --tls-ca: %w", err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("--tls-ca %s contains no certificate in PEM form", file)
	}
	return &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}, nil
}
