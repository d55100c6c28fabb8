package room_test

import (
	"fmt"

	"github.com/salabroker/sala/broker/room"
)

// A pattern matches rooms segment by segment.
func ExamplePattern() {
	p, err := room.ParsePattern("chat:*")
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(p.Matches("chat:42"), p.Matches("chat:42:log"), p.Matches("lobby"))
	// Output: true false false
}
