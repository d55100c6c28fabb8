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

// Printer declares the output format and prints in it.
type Printer struct {
	Output string `short:"o" enum:"table,json" default:"table" placeholder:"FORMAT" help:"Output format: table for people, json for scripts."`
}

// print writes m as JSON, or calls table.
func (p *Printer) print(out io.Writer, m proto.Message, table func(io.Writer) error) error {
	if p.Output == "json" {
		return printJSON(out, m)
	}
	return table(out)
}

// union returns the sorted elements of a and b without duplicates.
func union(a, b []string) []string {
	return slices.Compact(slices.Sorted(slices.Values(slices.Concat(a, b))))
}

// printJSON writes what the REST API would answer. json.Indent makes the layout stable, which
// protojson's isn't.
func printJSON(out io.Writer, m proto.Message) error {
	body, err := protojson.MarshalOptions{EmitUnpopulated: true}.Marshal(m)
	if err != nil {
		return err
	}
	var indented bytes.Buffer
	if err := json.Indent(&indented, body, "", "  "); err != nil {
		return err
	}
	_, err = fmt.Fprintln(out, indented.String())
	return err
}

// table writes rows in columns. The first row is the heading.
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

// cell quotes text with characters that could control the terminal, and shows empty text as a dash.
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

// compactJSON returns a protobuf value as one line of JSON, "" if there is none.
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

// sockets returns "1 socket", "2 sockets" and so on.
func sockets(n uint32) string {
	if n == 1 {
		return "1 socket"
	}
	return count(n) + " sockets"
}
