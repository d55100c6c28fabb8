package socketio

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
)

// placeholders returns which of n attachments the JSON in args refers to. It returns an error if
// args refers to any other: every receiver would close its connection over that.
//
// It reads tokens rather than values, so that deep nesting costs no more than its length.
func placeholders(args []byte, n int) ([]bool, error) {
	used := make([]bool, n)
	dec := json.NewDecoder(bytes.NewReader(args))
	dec.UseNumber()
	var open []container
	for {
		tok, err := dec.Token()
		if err != nil {
			return nil, err
		}
		switch tok {
		case json.Delim('{'):
			open = append(open, container{object: true, wantKey: true})
			continue
		case json.Delim('['):
			open = append(open, container{})
			continue
		case json.Delim('}'):
			if err := open[len(open)-1].mark(used); err != nil {
				return nil, err
			}
			fallthrough
		case json.Delim(']'):
			open = open[:len(open)-1]
			tok = nil
		}
		if len(open) == 0 {
			return used, nil
		}
		open[len(open)-1].take(tok)
	}
}

// container is an array or object that is still open.
type container struct {
	object  bool
	wantKey bool // the next token is a key
	key     string
	// What makes an object a placeholder. A repeated key counts with its last value, as it does
	// for receivers.
	placeholder bool
	num         json.Number
}

// take notes a key or a complete value; nil stands for an array or object.
func (c *container) take(tok json.Token) {
	if !c.object {
		return
	}
	if c.wantKey {
		c.key, _ = tok.(string)
		c.wantKey = false
		return
	}
	c.wantKey = true
	switch c.key {
	case "_placeholder":
		c.placeholder = tok == true
	case "num":
		c.num, _ = tok.(json.Number)
	}
}

// mark sets the attachment that a placeholder refers to.
func (c *container) mark(used []bool) error {
	if !c.placeholder {
		return nil
	}
	if c.num == "" {
		return errors.New(`a placeholder has no "num"`)
	}
	num, err := c.num.Int64()
	if err != nil || num < 0 || num >= int64(len(used)) {
		return fmt.Errorf("a placeholder refers to an attachment that isn't there: there are %d", len(used))
	}
	used[num] = true
	return nil
}
