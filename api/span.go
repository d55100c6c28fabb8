package api

import (
	"cmp"
	"context"
	"net/http"
	"strings"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"

	"github.com/salabroker/sala/api/apierror"
	"github.com/salabroker/sala/broker/tracing"
	salav1 "github.com/salabroker/sala/gen/sala/v1"
)

// Each call of a caller with a valid key has one span, whichever way it comes: a REST request hands
// its context over to its call. A span says who called what, and how it ended, by the
// conventions of OpenTelemetry for RPC. It has nothing of the request but its namespace.

// remoteParent is the span that a caller made a call in.
type remoteParent struct{ parent, state string }

// parentIn returns the caller's span in metadata or in a header. More than one is none.
func parentIn(values func(name string) []string) remoteParent {
	parent := values(tracing.ParentHeader)
	if len(parent) != 1 {
		return remoteParent{}
	}
	return remoteParent{parent[0], strings.Join(values(tracing.StateHeader), ",")}
}

// parentOf returns the span that a request was made in, if there is tracing.
func (s *Server) parentOf(header http.Header) remoteParent {
	if s.tracer == nil {
		return remoteParent{}
	}
	return parentIn(header.Values)
}

// startSpan starts the span of the call, unless there is no tracing or no key.
func (c *call) startSpan(ctx context.Context) context.Context {
	if c.server.tracer == nil || !c.isTraced() {
		return ctx
	}
	if c.from == (remoteParent{}) {
		c.from = parentIn(func(name string) []string { return metadata.ValueFromIncomingContext(ctx, name) })
	}
	ctx = c.server.tracer.Continue(ctx, c.from.parent, c.from.state)
	ctx, c.span = c.server.tracer.Start(ctx, strings.TrimPrefix(c.method, "/"), tracing.Options{Kind: trace.SpanKindServer, Began: c.start})
	if c.span.Recording() {
		by := "grpc"
		if c.peer != "" || directOf(ctx) != nil {
			by = "rest"
		}
		c.span.Set(
			attribute.String("rpc.system.name", "grpc"),
			attribute.String("rpc.method", strings.TrimPrefix(c.method, "/")),
			attribute.String("sala.api", by),
			attribute.String("sala.key", c.keyName()),
		)
	}
	return ctx
}

// traceID returns the id of the call's trace; "" if it has none.
func (c *call) traceID(ctx context.Context) string {
	if c.span == nil {
		return ""
	}
	return tracing.IDFrom(ctx)
}

// isTraced reports whether the call has a span. Those without a key have none, so that strangers
// can't fill anybody's store of traces.
func (c *call) isTraced() bool {
	return c.caller != nil && c.caller != c.server.guests && (c.method == restMethod || strings.HasPrefix(c.method, ourMethods))
}

// asked says which namespace a request is about.
func (c *call) asked(request any) {
	if !c.span.Recording() {
		return
	}
	var namespace string
	switch r := request.(type) {
	case interface{ GetSelector() *salav1.Selector }:
		namespace = r.GetSelector().GetNamespace()
	case interface{ GetNamespace() string }:
		namespace = r.GetNamespace()
	default:
		return
	}
	// A request may be one that is refused because it isn't UTF-8.
	c.span.Set(attribute.String("sala.namespace", cmp.Or(strings.ToValidUTF8(namespace, "?"), "/")))
}

// endSpan ends the span of the call. A call that was refused before it had one gets it now.
func (c *call) endSpan(ctx context.Context, code codes.Code, reason string) {
	if c.span == nil {
		c.startSpan(ctx)
	}
	if c.span == nil {
		return
	}
	c.span.Set(attribute.String("rpc.response.status_code", apierror.CodeName(code)))
	if reason != "" {
		c.span.Set(attribute.String("error.type", reason))
	}
	switch code { // those that are the server's fault
	case codes.Unknown, codes.DeadlineExceeded, codes.Unimplemented, codes.Internal, codes.Unavailable, codes.DataLoss:
		c.span.Fail(cmp.Or(reason, apierror.CodeName(code)))
	}
	c.span.End()
}
