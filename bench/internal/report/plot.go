package report

import (
	"fmt"
	"html"
	"strings"

	"github.com/salabroker/sala/bench/internal/bench"
	"github.com/salabroker/sala/bench/results"
)

// Sizes in pixels.
const (
	plotWidth   = 960
	margin      = 32
	columns     = 2
	columnGap   = 40
	columnWidth = (plotWidth - 2*margin - columnGap) / columns
	headHeight  = 84 // of the plot's title
	panelHead   = 46
	barPitch    = 26
	barHeight   = 16
	panelGap    = 30
	labelWidth  = 148
	valueWidth  = 56
	barSpace    = columnWidth - labelWidth - valueWidth
)

// panel is one figure, a bar for each server.
type panel struct {
	title, unit string
	profile     string
	figure      string
}

var panels = []panel{
	{"CPU per delivery in a burst", "µs, less is better", bench.ProfileBurst, bench.CPU},
	{"CPU per delivery, 50 messages/s", "µs, less is better", bench.ProfilePaced, bench.CPU},
	{"Latency, 50 messages/s", "99th percentile in ms, less is better", bench.ProfilePaced, bench.P99},
	{"CPU per delivery, one wide room", "µs, less is better", bench.ProfileWide, bench.CPU},
	{"Memory per idle connection", "KiB, less is better", bench.ProfileIdle, bench.RSS},
	{"CPU per connect", "µs, less is better; Sala checks a JWT", bench.ProfileConnect, bench.ConnectCPU},
}

// bar is one server in a panel.
type bar struct {
	peer  string
	value results.Spread
}

// plot returns the plot as SVG.
func plot(set *results.Set) []byte {
	shown := make([][]bar, len(panels))
	rows := 1
	for i, p := range panels {
		for _, peer := range order {
			if value := set.Spread(source(p.profile, peer, p.figure)); value.N > 0 {
				shown[i] = append(shown[i], bar{peer, value})
			}
		}
		rows = max(rows, len(shown[i]))
	}
	panelHeight := panelHead + rows*barPitch + panelGap
	height := headHeight + (len(panels)+columns-1)/columns*panelHeight
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" font-family="Inter, system-ui, sans-serif" role="img" aria-label="%s">`+"\n",
		plotWidth, height, html.EscapeString(inWords(set, shown)))
	fmt.Fprintf(&b, `<rect width="%d" height="%d" rx="14" fill="#ffffff"/>`+"\n", plotWidth, height)
	fmt.Fprintf(&b, `<rect x="0.5" y="0.5" width="%d" height="%d" rx="14" fill="none" stroke="#d8dee6"/>`+"\n", plotWidth-1, height-1)
	fmt.Fprintf(&b, `<text x="%d" y="42" font-size="19" font-weight="700" fill="#17202b">What the servers cost</text>`+"\n", margin)
	fmt.Fprintf(&b, `<text x="%d" y="63" font-size="13" fill="#526071">%s</text>`+"\n", margin, html.EscapeString(subtitle(set)))
	for i, p := range panels {
		x := margin + i%columns*(columnWidth+columnGap)
		y := headHeight + i/columns*panelHeight
		p.draw(&b, shown[i], x, y)
	}
	b.WriteString("</svg>\n")
	return []byte(b.String())
}

func subtitle(set *results.Set) string {
	if set.Quick {
		return "a smoke test: these figures mean nothing"
	}
	return fmt.Sprintf("%s, %d cores, %s; medians, the thin lines go from the smallest to the largest run",
		set.Environment.CPU, set.Environment.Cores, set.Date.Format("2 January 2006"))
}

// draw draws a panel whose upper left corner is at x, y.
func (p panel) draw(b *strings.Builder, bars []bar, x, y int) {
	if len(bars) == 0 {
		return
	}
	fmt.Fprintf(b, `<text x="%d" y="%d" font-size="15" font-weight="600" fill="#17202b">%s</text>`+"\n", x, y+14, html.EscapeString(p.title))
	fmt.Fprintf(b, `<text x="%d" y="%d" font-size="12" fill="#526071">%s</text>`+"\n", x, y+32, html.EscapeString(p.unit))
	longest := 0.0
	for _, bar := range bars {
		longest = max(longest, bar.value.Max)
	}
	if longest <= 0 {
		longest = 1
	}
	scale := barSpace / longest
	for i, bar := range bars {
		top := y + panelHead + i*barPitch
		bar.draw(b, shortTitle(bar.peer), x, top, scale)
	}
}

// draw draws a bar with its name and its value, and a line from the smallest to the largest run.
func (r bar) draw(b *strings.Builder, name string, x, top int, scale float64) {
	fill, ink, weight := "#c3ccd7", "#3b4857", "400"
	switch r.peer {
	case bench.PeerSala:
		fill, ink, weight = "#0b7a75", "#0b5e5a", "700"
	case bench.PeerFloor, bench.PeerRing:
		fill = "#e6eaf0"
	}
	start := float64(x + labelWidth)
	length := max(r.value.Median*scale, 1)
	baseline := top + barHeight - 4
	fmt.Fprintf(b, `<text x="%d" y="%d" font-size="13" font-weight="%s" fill="%s">%s</text>`, x, baseline, weight, ink, html.EscapeString(name))
	fmt.Fprintf(b, `<rect x="%.1f" y="%d" width="%.1f" height="%d" rx="3" fill="%s"/>`, start, top, length, barHeight, fill)
	end := start + length
	if r.value.N > 1 {
		low, high := start+max(r.value.Min, 0)*scale, start+r.value.Max*scale
		middle := float64(top) + barHeight/2.0
		fmt.Fprintf(b, `<path d="M%.1f %.1fH%.1f" stroke="#17202b" stroke-opacity="0.45" stroke-width="1"/>`, low, middle, high)
		end = max(end, high)
	}
	fmt.Fprintf(b, `<text x="%.1f" y="%d" font-size="12.5" font-weight="%s" fill="%s">%s</text>`+"\n", end+7, baseline, weight, ink, number(r.value.Median))
}

func shortTitle(peer string) string {
	switch peer {
	case bench.PeerFloor:
		return "raw write loop"
	case bench.PeerRing:
		return "raw io_uring loop"
	case bench.PeerSala:
		return "Sala"
	case bench.PeerNode:
		return "Socket.IO on Node"
	case bench.PeerLibrary:
		return "Socket.IO in Go"
	default:
		return peer
	}
}

// inWords describes the plot for people who cannot see it.
func inWords(set *results.Set, shown [][]bar) string {
	var sentences []string
	for i, p := range panels {
		if len(shown[i]) == 0 {
			continue
		}
		var values []string
		for _, bar := range shown[i] {
			values = append(values, title(set, bar.peer)+" "+number(bar.value.Median))
		}
		sentences = append(sentences, fmt.Sprintf("%s (%s): %s.", p.title, p.unit, strings.Join(values, ", ")))
	}
	return strings.Join(sentences, " ")
}
