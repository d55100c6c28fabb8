package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"

	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/test/bufconn"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/salabroker/sala/api/explain"
	"github.com/salabroker/sala/broker"
	"github.com/salabroker/sala/broker/rawjson"
	salav1 "github.com/salabroker/sala/gen/sala/v1"
)

const (
	// inMemoryNetwork is the network of bufconn's addresses.
	inMemoryNetwork = "bufconn"
	// inMemoryBuffer is how many bytes may be in transit in each direction.
	inMemoryBuffer = 256 << 10
	// restPeerMetadata has the address of a REST client.
	restPeerMetadata = "x-sala-rest-peer"
	// maxResponse bounds gRPC responses. A page of 1000 sockets with all their rooms and
	// data fits.
	maxResponse = 64 << 20
)

// gateway turns REST calls into gRPC calls over an in-memory connection.
type gateway struct {
	mux  *runtime.ServeMux
	conn *grpc.ClientConn

	stopped chan struct{} // closed when the in-memory listener is
	err     error         // why it closed; may be read after stopped
}

// newGateway serves server on an in-memory listener until the server is stopped.
func newGateway(server *grpc.Server, maxRequest int) (*gateway, error) {
	listener := bufconn.Listen(inMemoryBuffer)
	conn, err := grpc.NewClient("passthrough:///sala",
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return listener.DialContext(ctx) }),
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDisableServiceConfig(),
		grpc.WithUnaryInterceptor(checkRESTCall(maxRequest)),
		grpc.WithStreamInterceptor(checkRESTStream(maxRequest)),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxResponse)),
		grpc.WithStaticStreamWindowSize(streamWindow),
		grpc.WithStaticConnWindowSize(connectionWindow),
	)
	if err != nil {
		return nil, fmt.Errorf("connecting the REST gateway: %w", err)
	}
	known, err := newRoutes(openAPI)
	if err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	g := &gateway{mux: newGatewayMux(known), conn: conn, stopped: make(chan struct{})}
	if err := g.register(); err != nil {
		return nil, errors.Join(fmt.Errorf("setting up the REST gateway: %w", err), conn.Close())
	}
	go func() {
		defer close(g.stopped)
		if err := server.Serve(listener); !errors.Is(err, grpc.ErrServerStopped) {
			g.err = err
		}
	}()
	return g, nil
}

func newGatewayMux(known routes) *runtime.ServeMux {
	drop := func(string) (string, bool) { return "", false }
	inJSON := &marshaler{runtime.JSONPb{
		MarshalOptions:   protojson.MarshalOptions{EmitUnpopulated: true},
		UnmarshalOptions: protojson.UnmarshalOptions{RecursionLimit: explain.MaxJSONDepth},
	}}
	return runtime.NewServeMux(
		runtime.WithMarshalerOption(runtime.MIMEWildcard, inJSON),
		runtime.WithMarshalerOption(eventStream, &sseMarshaler{inJSON}),
		// Each path variable is one segment and is fully unescaped: a%2Fb is the room
		// a/b. With UnescapingModeAllCharacters, %2F would split the segment.
		runtime.WithUnescapingMode(runtime.UnescapingModeAllExceptSlash),
		// No header becomes metadata or comes back, except Authorization, which the
		// gateway always passes on.
		runtime.WithIncomingHeaderMatcher(drop),
		runtime.WithOutgoingHeaderMatcher(drop),
		runtime.WithOutgoingTrailerMatcher(drop),
		runtime.WithMetadata(func(ctx context.Context, r *http.Request) metadata.MD {
			// This runs before the body is decoded, and is the first to know the call.
			md := metadata.Pairs(restPeerMetadata, r.RemoteAddr)
			if rest, known := r.Context().Value(restKey{}).(*restRequest); known {
				rest.call.method, _ = runtime.RPCMethod(ctx)
				rest.call.from.addTo(md)
			}
			return md
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

func (g *gateway) register() error {
	// The generated functions don't use their context.
	ctx := context.Background() //nolint:forbidigo // see above
	return errors.Join(
		salav1.RegisterTokenServiceHandlerClient(ctx, g.mux, salav1.NewTokenServiceClient(g.conn)),
		salav1.RegisterKeyServiceHandlerClient(ctx, g.mux, salav1.NewKeyServiceClient(g.conn)),
		salav1.RegisterRoomServiceHandlerClient(ctx, g.mux, salav1.NewRoomServiceClient(g.conn)),
		salav1.RegisterPresenceServiceHandlerClient(ctx, g.mux, salav1.NewPresenceServiceClient(g.conn)),
		salav1.RegisterMessageServiceHandlerClient(ctx, g.mux, salav1.NewMessageServiceClient(g.conn)),
		salav1.RegisterSocketServiceHandlerClient(ctx, g.mux, salav1.NewSocketServiceClient(g.conn)),
		salav1.RegisterClusterServiceHandlerClient(ctx, g.mux, salav1.NewClusterServiceClient(g.conn)),
		salav1.RegisterObserveServiceHandlerClient(ctx, g.mux, salav1.NewObserveServiceClient(g.conn)),
	)
}

// close ends what newGateway started. The server must have been stopped. It may be called
// again.
func (g *gateway) close() error {
	_ = g.conn.Close() // fails only if it was closed before
	<-g.stopped
	return g.err
}

// marshaler is protojson with the same output in every build, and with errors for people.
type marshaler struct {
	runtime.JSONPb
}

// Marshal implements runtime.Marshaler.
func (m *marshaler) Marshal(v any) ([]byte, error) {
	text, err := m.JSONPb.Marshal(v)
	if err != nil {
		return nil, err
	}
	// protojson adds random spaces, so that nobody relies on its output.
	var compact bytes.Buffer
	if err := json.Compact(&compact, text); err != nil {
		return nil, err
	}
	compact.WriteByte('\n') // so that a terminal's prompt starts a new line
	return compact.Bytes(), nil
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
