package scraper

import (
	"bytes"
	"strconv"
)

const (
	maxRowSpan  = 10_000  // rows that a cell may reach over; HTML allows 65534
	maxSpanText = 256     // of such a cell
	maxFallen   = 300_000 // cells from above of a page, which are read in every row
)

// spanned is a cell that reaches over the rows below its own.
type spanned struct {
	col  int
	left int // rows that it still reaches over
	text []byte
	role role
}

// rowSpan reads the attribute rowspan; 0: the cell is of its own row only.
func rowSpan(val []byte) int {
	n, err := strconv.Atoi(view(trimSpace(val)))
	if err != nil || n < 2 {
		return 0
	}
	return min(n, maxRowSpan)
}

// spread puts cells that reach down from rows above into the row that ends, and
// remembers those of it that reach over the rows below. Both are in the order of
// their columns.
func (h *htmlReader) spread(t *tableRow) {
	reaches := false
	for _, p := range h.cells {
		reaches = reaches || p.reach > 0
	}
	if len(h.spans) == 0 && !reaches {
		return
	}
	own, n := t.cells, min(t.n, len(h.cells))
	above := h.spans
	h.spans, t.n = nil, 0
	for i := range n {
		above = h.fall(t, above, false)
		if reach := h.cells[i].reach; reach > 0 && len(h.spans) < maxCells && len(own[i].text) <= maxSpanText {
			h.spans = append(h.spans, spanned{t.n, reach - 1, bytes.Clone(own[i].text), own[i].role})
		}
		*t.add(nil) = own[i]
	}
	h.fall(t, above, true)
}

// fall adds the cells from above whose turn it is, or all of them, and returns
// the others.
func (h *htmlReader) fall(t *tableRow, above []spanned, all bool) []spanned {
	for len(above) > 0 && (all || above[0].col <= t.n) {
		s := above[0]
		above = above[1:]
		t.add(s.text).role = s.role
		h.fallen++
		if s.left--; s.left > 0 && h.fallen < maxFallen {
			h.spans = append(h.spans, s)
		}
	}
	return above
}
