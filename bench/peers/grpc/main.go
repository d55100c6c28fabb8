// Command grpc is a gRPC server with Sala's MessageService whose handlers do nothing. It shows what
// a call costs by itself.
package main

import (
	"context"
	"errors"
	"flag"
	"io"
	"log/slog"
	"net"
	"os"

	"google.golang.org/grpc"

	salav1 "github.com/salabroker/sala/gen/sala/v1"
)

type empty struct {
	salav1.UnimplementedMessageServiceServer
}

func (empty) Emit(context.Context, *salav1.EmitRequest) (*salav1.EmitResponse, error) {
	return &salav1.EmitResponse{}, nil
}

func (empty) EmitStream(stream grpc.BidiStreamingServer[salav1.EmitStreamRequest, salav1.EmitStreamResponse]) error {
	for {
		req, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := stream.Send(&salav1.EmitStreamResponse{Sequence: req.GetSequence(), Result: &salav1.EmitResult{}}); err != nil {
			return err
		}
	}
}

func main() {
	control := flag.String("control", "127.0.0.1:0", "where to listen")
	flag.Parse()
	listener, err := net.Listen("tcp", *control)
	if err == nil {
		server := grpc.NewServer()
		salav1.RegisterMessageServiceServer(server, empty{})
		err = server.Serve(listener)
	}
	slog.Error("grpc ended", "error", err)
	os.Exit(1)
}
