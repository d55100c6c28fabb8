package soak

import (
	"fmt"
	"strings"
)

// Sizes in pixels.
const (
	plotWidth   = 960
	panelHeight = 150
	margin      = 32
	labelWidth  = 90
	headHeight  = 30 // of a panel
)

// plot returns the plot as SVG: a panel for each measure.
func (r *Result) plot() []byte {
	height := 2*margin + len(measures())*panelHeight
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" font-family="Inter, system-ui, sans-serif" role="img" aria-label="%s">`+"\n",
		plotWidth, height, r.inWords())
	fmt.Fprintf(&b, `<rect x="0.5" y="0.5" width="%d" height="%d" rx="14" fill="#ffffff" stroke="#d8dee6"/>`+"\n", plotWidth-1, height-1)
	for i, m := range measures() {
		r.panel(&b, m, margin+i*panelHeight)
	}
	b.WriteString("</svg>\n")
	return []byte(b.String())
}

// panel draws one measure from 0 to its largest value, and its trend.
func (r *Result) panel(b *strings.Builder, m measure, top int) {
	fmt.Fprintf(b, `<text x="%d" y="%d" font-size="14" font-weight="600" fill="#17202b">%s</text>`+"\n", margin, top+14, m.title)
	if len(r.Moments) < 2 {
		return
	}
	largest, last := 0.0, r.Moments[len(r.Moments)-1].Seconds
	for _, moment := range r.Moments {
		largest = max(largest, m.value(moment))
	}
	left, right := float64(margin+labelWidth), float64(plotWidth-margin)
	high, low := float64(top+headHeight), float64(top+panelHeight-24)
	at := func(seconds, value float64) (x, y float64) {
		return left + (right-left)*seconds/max(last, 1), low - (low-high)*value/max(largest, 1)
	}
	fmt.Fprintf(b, `<path d="M%.0f %.0fH%.0f" stroke="#d8dee6"/>`, left, low, right)
	fmt.Fprintf(b, `<text x="%d" y="%.0f" font-size="12" fill="#526071">%s %s</text>`, margin, high+8, m.format(largest), m.inUnit)
	fmt.Fprintf(b, `<text x="%d" y="%.0f" font-size="12" fill="#526071">0</text>`, margin, low)
	fmt.Fprintf(b, `<text x="%.0f" y="%.0f" font-size="12" fill="#526071" text-anchor="end">%s</text>`+"\n", right, low+16, clock(last))
	polyline(b, r.Moments, "#0b7a75", func(moment Moment) (x, y float64) { return at(moment.Seconds, m.value(moment)) })
	late, trend := r.late(), r.Trends[m.name]
	from, to := late[0].Seconds, last
	straight := func(seconds float64) (x, y float64) {
		return at(seconds, trend.Mean+trend.Slope*(seconds-(from+to)/2)/3600)
	}
	x1, y1 := straight(from)
	x2, y2 := straight(to)
	fmt.Fprintf(b, `<path d="M%.1f %.1fL%.1f %.1f" stroke="#c2410c" stroke-width="1.5" stroke-dasharray="5 4"/>`+"\n", x1, y1, x2, y2)
}

func polyline(b *strings.Builder, moments []Moment, colour string, at func(Moment) (x, y float64)) {
	b.WriteString(`<path d="`)
	for i, m := range moments {
		command := "L"
		if i == 0 {
			command = "M"
		}
		x, y := at(m)
		fmt.Fprintf(b, "%s%.1f %.1f", command, x, y)
	}
	fmt.Fprintf(b, `" fill="none" stroke="%s" stroke-width="1.5"/>`+"\n", colour)
}

// inWords describes the plot for people who cannot see it.
func (r *Result) inWords() string {
	var sentences []string
	for _, m := range measures() {
		t := r.Trends[m.name]
		sentences = append(sentences, fmt.Sprintf("%s: %s %s on average, slope %.2f an hour.", m.title, m.format(t.Mean), m.inUnit, t.Slope/m.unit))
	}
	return strings.Join(sentences, " ")
}
