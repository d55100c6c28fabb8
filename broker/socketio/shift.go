package socketio

import (
	"bytes"
	"encoding/json"
	"slices"
	"strconv"
)

// AppendShifted appends the arguments of a payload, as a JSON array whose placeholders refer to
// attachments that come after by others, and returns the longer slice. So the payloads of several
// messages can be part of one packet. The payload must have passed [CheckArgs].
func AppendShifted(dst []byte, p Payload, by int) []byte {
	args := bytes.TrimSpace(p.Args)
	if len(args) == 0 {
		return append(dst, "[]"...)
	}
	if len(p.Attachments) == 0 || by == 0 {
		return append(dst, args...)
	}
	from := 0
	for _, n := range placeholderNumbers(args) {
		num, _ := strconv.Atoi(string(args[n.start:n.end])) // CheckArgs has accepted it
		dst = append(dst, args[from:n.start]...)
		dst = strconv.AppendInt(dst, int64(num+by), 10)
		from = n.end
	}
	return append(dst, args[from:]...)
}

// HasPlaceholders reports whether valid arguments have an object that receivers of a packet with
// attachments take for a placeholder. Without attachments it is an object like any other.
func HasPlaceholders(args []byte) bool {
	if !bytes.Contains(args, []byte("_placeholder")) && bytes.IndexByte(args, '\\') < 0 {
		return false
	}
	found := false
	eachPlaceholder(args, func([]span) { found = true })
	return found
}

// span is a piece of a text.
type span struct{ start, end int }

// placeholderNumbers returns where the numbers of attachments are in valid arguments, in order.
func placeholderNumbers(args []byte) (numbers []span) {
	eachPlaceholder(args, func(nums []span) { numbers = append(numbers, nums...) })
	slices.SortFunc(numbers, func(a, b span) int { return a.start - b.start }) // one may be within another
	return numbers
}

// eachPlaceholder calls found for each placeholder in valid arguments, with where its numbers are: a
// name may be there twice.
func eachPlaceholder(args []byte, found func(nums []span)) {
	dec := json.NewDecoder(bytes.NewReader(args))
	dec.UseNumber()
	var open []container
	var nums [][]span // by open container
	for {
		tok, err := dec.Token()
		if err != nil {
			return
		}
		end := int(dec.InputOffset())
		switch tok {
		case json.Delim('{'):
			open, nums = append(open, container{object: true, wantKey: true}), append(nums, nil)
			continue
		case json.Delim('['):
			open, nums = append(open, container{}), append(nums, nil)
			continue
		case json.Delim('}'), json.Delim(']'):
			last := len(open) - 1
			if open[last].placeholder {
				found(nums[last])
			}
			open, nums = open[:last], nums[:last]
			tok = nil
		}
		if len(open) == 0 {
			return
		}
		last := len(open) - 1
		if num, ok := tok.(json.Number); ok && !open[last].wantKey && open[last].key == "num" {
			nums[last] = append(nums[last], span{end - len(num), end})
		}
		open[last].take(tok)
	}
}
