package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"

	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/salabroker/sala/api/explain"
	"github.com/salabroker/sala/broker"
	"github.com/salabroker/sala/broker/rawjson"
	"github.com/salabroker/sala/broker/turns"
	salav1 "github.com/salabroker/sala/gen/sala/v1"
)

// newGateway returns a handler that turns REST requests into calls of conn.
func newGateway(conn grpc.ClientConnInterface, t *turns.Turns) (*runtime.ServeMux, error) {
	known, err := newRoutes(openAPI)
	if err != nil {
		return nil, err
	}
	mux := newGatewayMux(known, t)
	// The generated functions don't use their context.
	ctx := context.Background() //nolint:forbidigo // see above
	err = errors.Join(
		salav1.RegisterTokenServiceHandlerClient(ctx, mux, salav1.NewTokenServiceClient(conn)),
		salav1.RegisterKeyServiceHandlerClient(ctx, mux, salav1.NewKeyServiceClient(conn)),
		salav1.RegisterRoomServiceHandlerClient(ctx, mux, salav1.NewRoomServiceClient(conn)),
		salav1.RegisterPresenceServiceHandlerClient(ctx, mux, salav1.NewPresenceServiceClient(conn)),
		salav1.RegisterMessageServiceHandlerClient(ctx, mux, salav1.NewMessageServiceClient(conn)),
		salav1.RegisterSocketServiceHandlerClient(ctx, mux, salav1.NewSocketServiceClient(conn)),
		salav1.RegisterClusterServiceHandlerClient(ctx, mux, salav1.NewClusterServiceClient(conn)),
		salav1.RegisterObserveServiceHandlerClient(ctx, mux, salav1.NewObserveServiceClient(conn)),
	)
	if err != nil {
		return nil, fmt.Errorf("setting up the REST gateway: %w", err)
	}
	return mux, nil
}

func newGatewayMux(known routes, t *turns.Turns) *runtime.ServeMux {
	drop := func(string) (string, bool) { return "", false }
	inJSON := &marshaler{turns: t, JSONPb: runtime.JSONPb{
		MarshalOptions:   protojson.MarshalOptions{EmitUnpopulated: true},
		UnmarshalOptions: protojson.UnmarshalOptions{RecursionLimit: explain.MaxJSONDepth},
	}}
	return runtime.NewServeMux(
		runtime.WithMarshalerOption(runtime.MIMEWildcard, inJSON),
		runtime.WithMarshalerOption(eventStream, &sseMarshaler{inJSON}),
		// Each path variable is one segment and is fully unescaped: a%2Fb is the room
		// a/b. With UnescapingModeAllCharacters, %2F would split the segment.
		runtime.WithUnescapingMode(runtime.UnescapingModeAllExceptSlash),
		// No header becomes metadata or comes back.
		runtime.WithIncomingHeaderMatcher(drop),
		runtime.WithOutgoingHeaderMatcher(drop),
		runtime.WithOutgoingTrailerMatcher(drop),
		runtime.WithMetadata(func(ctx context.Context, r *http.Request) metadata.MD {
			// This runs before the body is decoded, and is the first to know the call.
			if rest, known := r.Context().Value(restKey{}).(*restRequest); known {
				rest.call.method, _ = runtime.RPCMethod(ctx)
			}
			return nil
		}),
		runtime.WithErrorHandler(handleRESTError),
		runtime.WithStreamErrorHandler(explainStreamError),
		runtime.WithRoutingErrorHandler(known.handleRoutingError),
		runtime.WithForwardResponseOption(dontBuffer),
		// A POST never counts as another method.
		runtime.WithDisablePathLengthFallback(),
		runtime.WithDisableHTTPMethodOverride(),
	)
}

// dontBuffer makes proxies pass on each line of a stream immediately. The gateway calls it
// without a message before the first line.
func dontBuffer(_ context.Context, w http.ResponseWriter, first proto.Message) error {
	if first == nil {
		w.Header().Set("X-Accel-Buffering", "no")
	}
	return nil
}

// marshaler is protojson with the same output in every build, and with errors for people.
type marshaler struct {
	runtime.JSONPb
	turns *turns.Turns // nil for an answer that is always small
}

// Marshal implements runtime.Marshaler.
func (m *marshaler) Marshal(v any) ([]byte, error) {
	if m.turns != nil && sizeOf(v) > smallCost {
		m.turns.Take(m) // the gateway doesn't say whose answer it is
		defer m.turns.Give()
	}
	text, err := m.JSONPb.Marshal(v)
	if err != nil {
		replaceInvalidIn(v)
		if text, err = m.JSONPb.Marshal(v); err != nil {
			return nil, err
		}
	}
	// protojson adds random spaces, so that nobody relies on its output.
	var compact bytes.Buffer
	if err := json.Compact(&compact, text); err != nil {
		return nil, err
	}
	compact.WriteByte('\n') // so that a terminal's prompt starts a new line
	return compact.Bytes(), nil
}

// replaceInvalidIn replaces bytes that aren't UTF-8, which protojson refuses, in what the
// gateway answers: a message, or a map with the message of a stream.
func replaceInvalidIn(v any) {
	switch v := v.(type) {
	case proto.Message:
		replaceInvalid(v.ProtoReflect())
	case map[string]any:
		for _, value := range v {
			replaceInvalidIn(value)
		}
	}
}

// Delimiter implements runtime.Delimited: the output of Marshal ends with a newline.
func (*marshaler) Delimiter() []byte { return nil }

// StreamContentType implements runtime.StreamContentType: each line is JSON.
func (*marshaler) StreamContentType(any) string { return "application/x-ndjson" }

// NewDecoder implements runtime.Marshaler. The decoder decodes the whole input as one
// message, so that nothing after it is silently lost.
func (m *marshaler) NewDecoder(r io.Reader) runtime.Decoder {
	return runtime.DecoderFunc(func(v any) error {
		body, known := r.(restBody)
		if !known {
			return errors.New("a request bypassed the REST handler")
		}
		text, err := body.request.open()
		if err != nil {
			return err
		}
		defer body.request.decoded()
		defer body.request.call.turn(len(text))()
		if len(bytes.TrimSpace(text)) == 0 {
			return io.EOF // the gateway treats it as an empty message
		}
		message, ok := v.(proto.Message)
		if !ok {
			return fmt.Errorf("a %T is not a message", v)
		}
		if err := m.unmarshal(text, message); err != nil {
			body.request.refused = err
			return err
		}
		if named, ok := v.(interface{ GetRoom() string }); ok {
			body.request.room = named.GetRoom()
		}
		return nil
	})
}

// unmarshal decodes a whole body. An event of a batch that can't be decoded is refused
// alone.
func (m *marshaler) unmarshal(text []byte, message proto.Message) *broker.Error {
	text = explain.NamesAsText(text, message.ProtoReflect().Descriptor())
	err := m.UnmarshalOptions.Unmarshal(text, message)
	if err == nil {
		return nil
	}
	if batch, ok := message.(*salav1.EmitBatchRequest); ok && m.unmarshalEach(text, batch) {
		return nil
	}
	return explain.Body("the body", text, message.ProtoReflect().Descriptor(), err)
}

// unmarshalEach decodes each event of a batch by itself. It reports false if the text isn't
// a batch of objects.
func (m *marshaler) unmarshalEach(text []byte, batch *salav1.EmitBatchRequest) bool {
	if !json.Valid(text) || !explain.IsObject(text) {
		return false
	}
	var events []json.RawMessage
	for key, value := range rawjson.Members(text) {
		if string(key) != "emits" || events != nil || value[0] != '[' || json.Unmarshal(value, &events) != nil {
			return false
		}
	}
	if len(events) == 0 || len(events) > maxBatch {
		return false
	}
	proto.Reset(batch)
	for i, event := range events {
		emit := &salav1.EmitRequest{}
		if err := m.UnmarshalOptions.Unmarshal(event, emit); err != nil {
			proto.Reset(emit)
			refuseMessage(emit, explain.Body(fmt.Sprintf("emits[%d]", i), event, emit.ProtoReflect().Descriptor(), err))
		}
		batch.Emits = append(batch.Emits, emit)
	}
	return true
}
