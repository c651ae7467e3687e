package pool

import (
	"math/rand/v2"
	"sync"
	"time"

	"freeway/proxy"
)

// Bounds of what is remembered of walks: 8 MB for rows, and as long as a
// person reads one page. One that has shown all is kept only for a client that
// did not get the last page. Most lists are never read beyond their first page.
const (
	maxFirst   = 1000 // walks of one page so far
	maxWalks   = 4096
	maxShown   = 2_000_000 // rows, four bytes each, of all walks
	walkLasts  = 15 * time.Minute
	endedLasts = time.Minute
	walksLook  = 10 * time.Second // how often those whose time is over are let go, at most
)

// walk is what the pages of one list have shown so far. An order by score or
// time changes between pages; a walk shows each entry once all the same, since
// a page is the first of those that were not shown, not those behind a place.
type walk struct {
	id    uint64
	after *key // nothing before this place is shown: a walk before it did, which is forgotten

	mu     sync.Mutex // held while a page is made
	shown  []uint32   // rows, in the order in which they were shown
	values map[any]struct{}
	ended  bool

	used  time.Time // protected by walks.mu, as are those below
	size  int       // of shown, as far as walks counts it
	pages int
	whole bool // it has ended
}

// over reports whether the time of the walk is over. walks.mu is held.
func (w *walk) over(now time.Time) bool {
	rested := now.Sub(w.used)
	return rested > walkLasts || w.whole && rested > endedLasts
}

// walks are the walks of a pool. Its zero value is ready.
type walks struct {
	mu     sync.Mutex
	byID   map[uint64]*walk
	shown  int
	first  int       // how many have shown one page
	looked time.Time // when those that are over were let go
}

// find returns a walk that is still known, else nil.
func (ws *walks) find(id uint64, now time.Time) *walk {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	w := ws.byID[id]
	if w == nil || w.over(now) {
		return nil
	}
	return w
}

// keep remembers a walk after a page, and forgets others: those whose time is
// over, and where there are too many, first those that showed one page only,
// then those that rested longest. w.mu is held.
func (ws *walks) keep(w *walk, shown int, now time.Time) {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	if ws.byID == nil {
		ws.byID = map[uint64]*walk{}
	}
	if _, known := ws.byID[w.id]; known && w.pages == 1 {
		ws.first--
	}
	ws.byID[w.id] = w
	ws.shown += shown - w.size
	w.size, w.used, w.whole = shown, now, w.ended
	if w.pages++; w.pages == 1 {
		ws.first++
	}
	if now.Sub(ws.looked) >= walksLook {
		ws.looked = now
		for _, old := range ws.byID {
			if old.over(now) {
				ws.forget(old)
			}
		}
	}
	for len(ws.byID) > maxWalks || ws.first > maxFirst || ws.shown > maxShown {
		ws.forget(ws.oldest())
	}
}

// forget lets a walk go. mu is held.
func (ws *walks) forget(w *walk) {
	ws.shown -= w.size
	w.size = 0
	if w.pages == 1 {
		ws.first--
	}
	delete(ws.byID, w.id)
}

// oldest is the walk to forget next. mu is held and there is one.
func (ws *walks) oldest() (old *walk) {
	for _, w := range ws.byID {
		if old == nil || min(w.pages, 2) < min(old.pages, 2) || min(w.pages, 2) == min(old.pages, 2) && w.used.Before(old.used) {
			old = w
		}
	}
	return old
}

// resume finds the walk of a cursor, or begins one behind its place: after a
// restart, or a long rest, that is the best there is.
func (l *listing) resume(c *cursor) {
	l.walk = l.p.walks.find(c.Walk, l.p.clock.now())
	if l.walk != nil {
		l.from, l.after = c.From, l.walk.after
		return
	}
	l.after = &c.Key
	if e, ok := l.p.unchanged(c.Key.URL, l.at); ok {
		now := l.keyOf(&e)
		l.after = &now
	}
}

// begin locks the walk, and marks what it has shown.
func (l *listing) begin() {
	if l.walk == nil {
		l.walk = &walk{id: rand.Uint64() | 1, after: l.after}
	}
	l.walk.mu.Lock()
	for _, n := range l.walk.shown {
		l.shown.set(n)
	}
}

// passed reports whether a row is no matter of this page: a page before showed
// it, or it came after the walk began. mu is held.
func (l *listing) passed(n uint32, r *row) bool {
	return l.shown.has(n) || l.came(r)
}

// came reports whether a row came after the walk began. mu is held.
func (l *listing) came(r *row) bool { return l.from > 0 && r.first > seconds(l.at) }

// told reports whether a value that entries are told apart by was shown.
func (l *listing) told(e *proxy.Entry) bool {
	v, _ := l.value(e)
	_, ok := l.walk.values[v]
	return ok
}

// show ends a page: it notes what is on it and returns the cursor of the next.
// A page that was made before is given again as it was.
func (l *listing) show(found []listed) (page []listed, next string) {
	w := l.walk
	defer w.mu.Unlock()
	if int(l.from) < len(w.shown) {
		return l.again()
	}
	if len(found) <= l.limit {
		w.ended = true
	} else {
		found = found[:l.limit]
	}
	for i := range found {
		w.note(l, &found[i])
	}
	if w.ended && l.from == 0 {
		return found, "" // the only page
	}
	l.p.walks.keep(w, len(w.shown), l.p.clock.now())
	if w.ended {
		return found, ""
	}
	return found, l.cursor(found[len(found)-1].key, uint32(len(w.shown)))
}

// note remembers that an entry was shown.
func (w *walk) note(l *listing, x *listed) {
	w.shown = append(w.shown, x.row)
	if l.distinct == "" {
		return
	}
	if w.values == nil {
		w.values = map[any]struct{}{}
	}
	if v, ok := l.value(&x.entry); ok {
		w.values[v] = struct{}{}
	}
}

// again repeats a page. Entries that match no longer are left out.
func (l *listing) again() (page []listed, next string) {
	w := l.walk
	end := min(int(l.from)+l.limit, len(w.shown))
	l.p.mu.Lock()
	for _, n := range w.shown[l.from:end] {
		var e proxy.Entry
		if n < l.p.rows.size && l.p.rows.at(n).first <= seconds(l.at) && l.takes(n, l.p.rows.at(n), &e) {
			page = append(page, l.whole(n, &e))
		}
	}
	l.p.mu.Unlock()
	l.p.walks.keep(w, len(w.shown), l.p.clock.now())
	if end == len(w.shown) && w.ended {
		return page, ""
	}
	k := l.place
	if len(page) > 0 {
		k = page[len(page)-1].key
	}
	return page, l.cursor(k, uint32(end))
}
