package api

// eventStream is the media type of server-sent events, which callers of streams ask for in the
// header Accept.
const eventStream = "text/event-stream"

// sseMarshaler writes the messages of a stream as server-sent events (HTML Living Standard,
// 9.2), each with the JSON of a line of the stream as its data. Anything else is JSON.
type sseMarshaler struct{ *marshaler }

// Marshal implements runtime.Marshaler. The gateway wraps what belongs to a stream in a map.
func (m *sseMarshaler) Marshal(v any) ([]byte, error) {
	text, err := m.marshaler.Marshal(v)
	_, ofStream := v.(map[string]any)
	if err != nil || !ofStream {
		return text, err
	}
	event := append([]byte("data: "), text...) // ends with a newline; there is no other
	return append(event, '\n'), nil
}

// StreamContentType implements runtime.StreamContentType.
func (*sseMarshaler) StreamContentType(any) string { return eventStream }
