package scraper

import (
	"context"
	"encoding/json"
	"maps"
	"slices"
	"time"

	"freeway/proxy"
)

// memo is what is noted of a source and survives a restart.
type memo struct {
	Print     string    `json:"print"` // fingerprint of the definition that the rest belongs to
	ETag      string    `json:"etag,omitempty"`
	Modified  string    `json:"modified,omitempty"` // Last-Modified, as it was sent
	Usual     int       `json:"usual,omitempty"`    // endpoints of a usual run, a moving average
	Failures  int       `json:"failures,omitempty"` // in a row
	NotBefore time.Time `json:"not_before,omitzero"`
	Asked     time.Time `json:"asked,omitzero"` // until when the server asked for quiet (Retry-After)
	Mirror    string    `json:"mirror_of,omitempty"`
	Sketch    []byte    `json:"sketch,omitempty"` // see sketch
	Sum       uint64    `json:"sum,omitempty"`    // of the set that was taken last; see sketch
	Last      Result    `json:"last"`
}

// renew keeps what a set that was taken looks like and reports whether it is
// another one than before.
func (m *memo) renew(mine sketch) (changed bool) {
	changed = m.Sketch == nil || m.Sum != mine.sum
	m.Sketch, m.Sum = mine.bytes(), mine.sum
	return changed
}

// The keys of documents in the Notebook.
const (
	memoKey   = "scraper/source/"
	switchKey = "scraper/enabled/"
	givenKey  = "scraper/given" // names of the sources of which the Sink holds a set
)

// recall returns what was noted of the source, or an empty memo when it was
// about another list.
func recall(book Notebook, name, print string) memo {
	var m memo
	if doc := book.Recall(memoKey + name); doc == nil || json.Unmarshal(doc, &m) != nil || m.Print != print {
		return memo{Print: print}
	}
	return m
}

// note writes m down.
func note(book Notebook, name string, m memo) {
	if doc, err := json.Marshal(m); err == nil {
		book.Note(memoKey+name, doc)
	}
}

// disown makes sure that the list is read whole the next time, because the Sink
// has forgotten it.
func (m *memo) disown() { m.ETag, m.Modified = "", "" }

// disown does the same for a source that is gone but may come back.
func disown(book Notebook, name string) {
	var m memo
	if doc := book.Recall(memoKey + name); doc != nil && json.Unmarshal(doc, &m) == nil {
		m.disown()
		note(book, name, m)
	}
}

// recallGiven returns what noteGiven wrote.
func recallGiven(book Notebook) map[string]bool {
	var names []string
	given := map[string]bool{}
	if doc := book.Recall(givenKey); doc != nil && json.Unmarshal(doc, &names) == nil {
		for _, name := range names {
			given[name] = true
		}
	}
	return given
}

// noteGiven notes whether the Sink holds a set of the source.
func (s *Scraper) noteGiven(name string, holds bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.given[name] == holds {
		return
	}
	if holds {
		s.given[name] = true
	} else {
		delete(s.given, name)
	}
	if doc, err := json.Marshal(slices.Sorted(maps.Keys(s.given))); err == nil {
		s.env.Notebook.Note(givenKey, doc)
	}
}

// recallSwitch returns the choice that Enable noted; ok is false when there is none.
func recallSwitch(book Notebook, name string) (on, ok bool) {
	switch string(book.Recall(switchKey + name)) {
	case "on":
		return true, true
	case "off":
		return false, true
	}
	return false, false
}

// noteSwitch keeps the choice apart from the memo: it stays when the definition
// changes.
func noteSwitch(book Notebook, name string, on bool) {
	word := "off"
	if on {
		word = "on"
	}
	book.Note(switchKey+name, []byte(word))
}

// blank is the Notebook of a Scraper that was given none; states keep the memos.
type blank struct{}

// Recall implements Notebook.
func (blank) Recall(string) []byte { return nil }

// Note implements Notebook.
func (blank) Note(string, []byte) {}

// bin is the Sink of a Scraper that was given none.
type bin struct{}

// Add implements Sink.
func (bin) Add(context.Context, string, []proxy.Candidate) (proxy.Yield, error) {
	return proxy.Yield{}, nil
}

// Retire implements Sink.
func (bin) Retire(context.Context, string) error { return nil }

// Worth implements Sink.
func (bin) Worth(string) proxy.Worth { return proxy.Worth{} }
