package line

import (
	"bufio"
	"errors"
	"io"
	"strings"
	"testing"
)

func TestReadTakesWhatIsThere(t *testing.T) {
	var text []byte
	for _, room := range []string{"a", "b", "c"} {
		text = Append(text, Message{Room: room, Payload: []byte(`{"room":"` + room + `"}`)})
	}
	var batches [][]Message
	err := read(bufio.NewReaderSize(strings.NewReader(string(text)), bufferSize), func(batch []Message) {
		batches = append(batches, batch)
	})
	if !errors.Is(err, io.EOF) {
		t.Fatal(err)
	}
	if len(batches) != 1 || len(batches[0]) != 3 {
		t.Fatalf("got batches %v, want one of three messages", batches)
	}
	if m := batches[0][1]; m.Room != "b" || string(m.Payload) != `{"room":"b"}` {
		t.Errorf("the second message is %q %q", m.Room, m.Payload)
	}
}

func TestReadRefusesALineWithoutRoom(t *testing.T) {
	err := read(bufio.NewReader(strings.NewReader("nothing\n")), func([]Message) { t.Error("published") })
	if err == nil || errors.Is(err, io.EOF) {
		t.Errorf("got %v, want an error about the line", err)
	}
}
