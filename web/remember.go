package web

import (
	"encoding/json"
	"time"
)

// The history is noted in the store now and then, so that a restart loses a few
// minutes of it at most: some 60 KB each time.
const (
	historyNote = "web/history"
	noteEvery   = 5 * time.Minute
)

// noted is a series in the store.
type noted[T any] struct {
	EveryMS int64   `json:"every_ms"`
	Times   []int64 `json:"times"` // Unix seconds
	Values  []T     `json:"values"`
}

// notedHistory is the history in the store.
type notedHistory struct {
	All     noted[sample]         `json:"all"`
	Sources map[string]noted[int] `json:"sources"`
}

// note is the series for the store.
func (s *series[T]) note() noted[T] {
	out := noted[T]{EveryMS: s.every.Milliseconds(), Times: []int64{}, Values: s.values}
	for _, t := range s.times {
		out.Times = append(out.Times, t.Unix())
	}
	return out
}

// take continues a series that was noted; one that cannot be is left alone.
func (s *series[T]) take(n noted[T]) {
	every := time.Duration(n.EveryMS) * time.Millisecond
	if len(n.Times) != len(n.Values) || len(n.Times) > s.most || every < firstInterval || every > historyAge {
		return
	}
	s.every, s.values = every, n.Values
	for _, t := range n.Times {
		s.times = append(s.times, time.Unix(t, 0))
	}
}

// save notes the history.
func (d *Dashboard) save() {
	if d.env.Pool == nil {
		return
	}
	h := d.history
	h.mu.Lock()
	out := notedHistory{All: h.all.note(), Sources: map[string]noted[int]{}}
	for name, line := range h.sources {
		out.Sources[name] = line.note()
	}
	text, err := json.Marshal(out)
	h.mu.Unlock()
	if err == nil {
		d.env.Pool.Note(historyNote, text)
	}
}

// restore continues the history that was noted.
func (d *Dashboard) restore() {
	if d.env.Pool == nil {
		return
	}
	var in notedHistory
	if json.Unmarshal(d.env.Pool.Recall(historyNote), &in) != nil {
		return
	}
	h := d.history
	h.mu.Lock()
	defer h.mu.Unlock()
	h.all.take(in.All)
	for name, n := range in.Sources {
		line := &series[int]{most: sparkPoints, every: firstInterval}
		line.take(n)
		h.sources[name] = line
	}
}
