package broker

import (
	"encoding/base64"
	"strings"
	"unicode/utf8"
)

// Page selects a page of a list.
type Page struct {
	// Size bounds the entries of the page; zero means 100.
	Size int
	// Token is the Next of the previous page; empty for the first page.
	Token string
}

// Limits of a page.
const (
	defaultPageSize = 100
	maxPageSize     = 1000
)

// The kinds of page tokens, so that the token of another list is refused.
const (
	pageOfRooms      = "rooms"
	pageOfRoomSearch = "found rooms"
	pageOfSockets    = "sockets"
	pageOfUsers      = "users"
)

// pageToken encodes the position at which a page ends.
func pageToken(kind string, position ...string) string {
	return base64.RawURLEncoding.EncodeToString([]byte(kind + "\x00" + strings.Join(position, "\x00")))
}

// parse returns the page's size and the n parts of the position after which it
// begins. They are empty for the first page.
func (p Page) parse(kind string, n int) (size int, after []string, err error) {
	var v violations
	size = p.Size
	if size == 0 {
		size = defaultPageSize
	}
	if size < 0 || size > maxPageSize {
		v.add("page_size", "%d is not between 1 and %d", size, maxPageSize)
	}
	after = make([]string, n)
	if p.Token != "" {
		raw, decodeErr := base64.RawURLEncoding.DecodeString(p.Token)
		parts := strings.Split(string(raw), "\x00")
		if decodeErr != nil || !utf8.Valid(raw) || parts[0] != kind || len(parts) != n+1 {
			v.add("page_token", foreignPage)
		} else {
			after = parts[1:]
		}
	}
	return size, after, v.err()
}

const foreignPage = "is not a token of this list; leave it out for the first page"

// maxQueryBytes is the longest text that a list can be searched for. No name is longer.
const maxQueryBytes = 255

func validateQuery(v *violations, query string) {
	if len(query) > maxQueryBytes {
		v.add("query", "has %d bytes; at most %d are allowed", len(query), maxQueryBytes)
	}
}

// namespacesFor returns the namespaces that a list covers, sorted.
func (b *Broker) namespacesFor(name string) ([]string, error) {
	if name == "" {
		return b.namespaceNames, nil
	}
	if _, err := b.namespace(name); err != nil {
		return nil, err
	}
	return []string{name}, nil
}
