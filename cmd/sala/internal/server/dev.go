package server

import (
	"fmt"
	"io"
	"strings"
	"text/template"
)

// pageOrigins are the origins of the demo page.
func (s *Server) pageOrigins() []string {
	scheme, _, _ := strings.Cut(s.http.URL(), ":")
	return []string{
		fmt.Sprintf("%s://127.0.0.1:%d", scheme, s.http.Port()),
		fmt.Sprintf("%s://localhost:%d", scheme, s.http.Port()),
	}
}

// devText is what --dev prints. Each command works when pasted, in any order.
const devText = `
Sala is running in development mode. It forgets everything when it stops.

  Socket.IO   {{.Public}}
  REST        {{.HTTP}}
  gRPC        {{.GRPC}}
  API key     {{.Key}}

Open the demo page:

  {{.HTTP}}/#key={{urlquery .Key}}

Or paste these commands:

  # issue a token for "ana", who may join any room and send to it
  {{.Curl}} {{.HTTP}}/v1/tokens -d '{"user":"ana","join":["**"],"publish":["**"],"broadcast":true}'

  # send an event to a room
  {{.Curl}} {{.HTTP}}/v1/emit -d '{"rooms":["lobby"],"event":"message","args":["hello from curl"]}'

  # list the rooms
  {{.Curl}} {{.HTTP}}/v1/rooms

  # clear a room, and notify its members first
  {{.Curl}} {{.HTTP}}/v1/rooms/lobby:clear -d '{"notice":{"event":"message","args":["the room is closed"]}}'

  # send an event over gRPC
  {{.Grpcurl}} -d '{"rooms":["lobby"],"event":"message","args":["hello from grpcurl"]}' {{.GRPC}} sala.v1.MessageService/Emit

  # settings for the other sala commands, such as "sala rooms"
  export SALA_SERVER={{.GRPC}} SALA_API_KEY={{.QuotedKey}}

`

// PrintDev writes the addresses and commands to paste. They contain the API key.
func (s *Server) PrintDev(out io.Writer) error {
	block, err := template.New("dev").Parse(devText)
	if err != nil {
		return err
	}
	header := quote("Authorization: Bearer " + s.cfg.DevKey)
	curl, grpcurl := "curl -sS -H "+header, "grpcurl -plaintext -H "+header
	if s.http.TLS != nil {
		// The certificate may not be valid for this address.
		curl, grpcurl = "curl -sSk -H "+header, "grpcurl -insecure -H "+header
	}
	return block.Execute(out, map[string]string{
		"Public":  s.public.URL(),
		"HTTP":    s.http.URL(),
		"GRPC":    s.grpc.HostPort(),
		"Key":     s.cfg.DevKey,
		"Curl":    curl,
		"Grpcurl": grpcurl,

		"QuotedKey": quote(s.cfg.DevKey),
	})
}

// quote quotes s for a shell.
func quote(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }
