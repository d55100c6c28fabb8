package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// Printer declares the format and prints in it.
type Printer struct {
	Output string `short:"o" enum:"table,json" default:"table" placeholder:"FORMAT" help:"One of table, for people, and json, for scripts."`
}

// print writes m as JSON, or calls table for people.
func (p *Printer) print(out io.Writer, m proto.Message, table func(io.Writer) error) error {
	if p.Output == "json" {
		return printJSON(out, m)
	}
	return table(out)
}

// union returns what is in a or b, sorted and once each.
func union(a, b []string) []string {
	return slices.Compact(slices.Sorted(slices.Values(slices.Concat(a, b))))
}

// printJSON writes what the REST API would answer, laid out the same each
// time, which protojson alone doesn't promise.
func printJSON(out io.Writer, m proto.Message) error {
	body, err := protojson.MarshalOptions{EmitUnpopulated: true}.Marshal(m)
	if err != nil {
		return err
	}
	var laidOut bytes.Buffer
	if err := json.Indent(&laidOut, body, "", "  "); err != nil {
		return err
	}
	_, err = fmt.Fprintln(out, laidOut.String())
	return err
}

// table lays rows out in columns; the first row is the heading.
func table(out io.Writer, rows [][]string) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	for _, row := range rows {
		cells := make([]string, len(row))
		for i, c := range row {
			cells[i] = cell(c)
		}
		fmt.Fprintln(w, strings.Join(cells, "\t"))
	}
	return w.Flush()
}

// cell shows text that could play tricks with a terminal in quotes, and
// nothing as a dash.
func cell(s string) string {
	if s == "" {
		return "-"
	}
	for _, r := range s {
		if !unicode.IsPrint(r) {
			return strconv.QuoteToGraphic(s)
		}
	}
	return s
}

func count(n uint32) string { return strconv.FormatUint(uint64(n), 10) }

func when(t *timestamppb.Timestamp) string {
	if t == nil {
		return ""
	}
	return t.AsTime().Local().Format(time.RFC3339)
}

// compactJSON is a protobuf value on one line; empty if there is none.
func compactJSON(m proto.Message) string {
	if m == nil || !m.ProtoReflect().IsValid() {
		return ""
	}
	body, err := protojson.Marshal(m)
	if err != nil {
		return ""
	}
	var line bytes.Buffer
	if err := json.Compact(&line, body); err != nil {
		return ""
	}
	return line.String()
}

// sockets is "1 socket" or "2 sockets".
func sockets(n uint32) string {
	if n == 1 {
		return "1 socket"
	}
	return count(n) + " sockets"
}
