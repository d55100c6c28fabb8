package api

import (
	"context"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/salabroker/sala/api/apierror"
)

// checkRESTStream is checkRESTCall for calls whose answer is a stream.
func checkRESTStream(maxRequest int) grpc.StreamClientInterceptor {
	return func(ctx context.Context, desc *grpc.StreamDesc, conn *grpc.ClientConn, method string, open grpc.Streamer, opts ...grpc.CallOption) (grpc.ClientStream, error) {
		rest, ok := ctx.Value(restKey{}).(*restRequest)
		if ok {
			if err := rest.admit(ctx, method); err != nil {
				return nil, err
			}
		}
		stream, err := open(ctx, desc, conn, method, opts...)
		if err != nil || !ok {
			return stream, err
		}
		return &restStream{stream, rest, maxRequest}, nil
	}
}

// restStream is the stream of a REST call. One goroutine sends the request, then receives.
type restStream struct {
	grpc.ClientStream
	rest       *restRequest
	maxRequest int
}

// SendMsg implements grpc.ClientStream. It gives back what the request holds, since the call
// may last much longer.
func (s *restStream) SendMsg(m any) error {
	if err := s.rest.check(m, s.maxRequest); err != nil {
		return apierror.Classify(err).Status().Err()
	}
	err := s.ClientStream.SendMsg(m)
	s.rest.sent()
	return err
}

// Header implements grpc.ClientStream. It returns the error of a call that fails before its
// first message, so that the gateway answers with an error status and not with a line of a
// stream.
func (s *restStream) Header() (metadata.MD, error) {
	header, err := s.ClientStream.Header()
	if header == nil && err == nil {
		err = s.RecvMsg(&emptypb.Empty{})
	}
	return header, err
}
