package server

import (
	"fmt"
	"io"
	"net/url"
	"strings"

	"github.com/salabroker/sala/api/console"
	"github.com/salabroker/sala/cmd/sala/internal/listen"
)

// pageOrigins are the origins of the console, whose own client connects to the public listener.
func (s *Server) pageOrigins() []string {
	scheme, _, _ := strings.Cut(s.http.URL(), ":")
	return []string{
		s.http.URL(),
		fmt.Sprintf("%s://127.0.0.1:%d", scheme, s.http.Port()),
		fmt.Sprintf("%s://localhost:%d", scheme, s.http.Port()),
	}
}

// publicHost is the only host at which the page's client reaches the public listener. It is empty if
// that of the page will do: the listener is on all addresses, or on the same loopback address.
func (s *Server) publicHost() string {
	host := strings.TrimSuffix(s.public.Bound(), fmt.Sprintf(":%d", s.public.Port()))
	if s.public.OnAll() || host == "127.0.0.1" {
		return ""
	}
	return host
}

// devText is what --dev prints. Each command works when pasted, in any order.
const devText = `
Sala is running in development mode. It forgets everything when it stops.

  Socket.IO   {PUBLIC}{PUBLICALL}
  REST        {HTTP}{HTTPALL}
  gRPC        {GRPC}{GRPCALL}
  API key     {KEY}

{CONSOLE}
Or paste these commands:

  # issue a token for "ana", who may join any room and send to it
  {CURL} {HTTP}/v1/tokens -d '{"user":"ana","join":["**"],"publish":["**"],"broadcast":true}'

  # send an event to a room
  {CURL} {HTTP}/v1/emit -d '{"rooms":["lobby"],"event":"message","args":["hello from curl"]}'

  # list the rooms
  {CURL} {HTTP}/v1/rooms

  # clear a room, and notify its members first
  {CURL} {HTTP}/v1/rooms/lobby:clear -d '{"notice":{"event":"message","args":["the room is closed"]}}'

  # send an event over gRPC
  {GRPCURL} -d '{"rooms":["lobby"],"event":"message","args":["hello from grpcurl"]}' {GRPC} sala.v1.MessageService/Emit

  # settings for the other sala commands, such as "sala rooms"
  export SALA_SERVER={GRPC} SALA_API_KEY={QUOTEDKEY}

`

// PrintDev writes the addresses and commands to paste. They contain the API key.
func (s *Server) PrintDev(out io.Writer) error {
	header := quote("Authorization: Bearer " + s.cfg.DevKey)
	curl, grpcurl := "curl -sS -H "+header, "grpcurl -plaintext -H "+header
	if s.http.TLS != nil {
		// The certificate may not be valid for this address.
		curl, grpcurl = "curl -sSk -H "+header, "grpcurl -insecure -H "+header
	}
	// text/template would add 0.3 MB to the binary.
	text := strings.NewReplacer(
		"{CONSOLE}", s.consoleText(),
		"{PUBLIC}", s.public.URL(),
		"{PUBLICALL}", otherAddresses(s.public),
		"{HTTP}", s.http.URL(),
		"{HTTPALL}", otherAddresses(s.http),
		"{GRPC}", s.grpc.HostPort(),
		"{GRPCALL}", otherAddresses(s.grpc),
		"{KEY}", s.cfg.DevKey,
		"{QUOTEDKEY}", quote(s.cfg.DevKey),
		"{CURL}", curl,
		"{GRPCURL}", grpcurl,
	).Replace(devText)
	_, err := io.WriteString(out, text) // in one write, so that nobody sees a part
	return err
}

// otherAddresses says if a listener is reachable at more than the address that is printed.
func otherAddresses(l *listen.Listener) string {
	if !l.OnAll() {
		return ""
	}
	return ", and at all other addresses of this machine"
}

// consoleText is the way to the console, with its guide.
func (s *Server) consoleText() string {
	if s.cfg.Flags.Console == "off" {
		return ""
	}
	return fmt.Sprintf("Open the console, which guides you through the first five minutes:\n\n  %s%s#key=%s\n", s.http.URL(), console.Root, url.QueryEscape(s.cfg.DevKey))
}

// quote quotes s for a shell.
func quote(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }
