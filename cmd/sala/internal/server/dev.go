package server

import (
	"fmt"
	"io"
	"strings"
	"text/template"
)

// pageOrigins are the origins that the demo page has.
func (s *Server) pageOrigins() []string {
	scheme, _, _ := strings.Cut(s.http.URL(), ":")
	return []string{
		fmt.Sprintf("%s://127.0.0.1:%d", scheme, s.http.Port()),
		fmt.Sprintf("%s://localhost:%d", scheme, s.http.Port()),
	}
}

// devText is what --dev prints. Each command works as it is pasted, whatever
// was pasted before.
const devText = `
Sala is running for development. It forgets everything when it stops.

  Socket.IO   {{.Public}}
  REST        {{.HTTP}}
  gRPC        {{.GRPC}}
  API key     {{.Key}}

Open the demo page:

  {{.HTTP}}/#key={{urlquery .Key}}

Or paste:

  # a token for "ana", who may join and send to any room
  {{.Curl}} {{.HTTP}}/v1/tokens -d '{"user":"ana","join":["**"],"publish":["**"],"broadcast":true}'

  # an event to a room
  {{.Curl}} {{.HTTP}}/v1/emit -d '{"rooms":["lobby"],"event":"message","args":["hello from curl"]}'

  # the rooms that somebody is in
  {{.Curl}} {{.HTTP}}/v1/rooms

  # make everybody leave a room, and tell them first
  {{.Curl}} {{.HTTP}}/v1/rooms/lobby:clear -d '{"notice":{"event":"message","args":["the room is closed"]}}'

  # the same over gRPC
  {{.Grpcurl}} -d '{"rooms":["lobby"],"event":"message","args":["hello from grpcurl"]}' {{.GRPC}} sala.v1.MessageService/Emit

  # what the other commands of sala need, such as "sala rooms"
  export SALA_SERVER={{.GRPC}} SALA_API_KEY={{.QuotedKey}}

`

// PrintDev writes the block to paste. It shows the API key.
func (s *Server) PrintDev(out io.Writer) error {
	block, err := template.New("dev").Parse(devText)
	if err != nil {
		return err
	}
	header := quote("Authorization: Bearer " + s.cfg.DevKey)
	curl, grpcurl := "curl -sS -H "+header, "grpcurl -plaintext -H "+header
	if s.http.TLS != nil {
		// The certificate may be for a name that isn't this address.
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

// quote makes one word of s for a shell.
func quote(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }
