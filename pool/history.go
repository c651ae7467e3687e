package pool

import (
	"encoding/json"
	"net/netip"
	"slices"
	"time"

	"freeway/proxy"
)

// maxHistory bounds the document of the latest requests, in bytes; when it is
// full the oldest are left out. One with four attempts takes about 700.
const maxHistory = 1 << 20

// keptTrace is a request as the store keeps it. It holds hosts, never paths.
type keptTrace struct {
	ID       string        `json:"i"`
	At       int64         `json:"t"` // Unix milliseconds
	Client   netip.Addr    `json:"c"`
	User     string        `json:"u,omitempty"`
	Tag      string        `json:"g,omitempty"`
	Session  string        `json:"s,omitempty"`
	Method   string        `json:"m,omitempty"`
	Host     string        `json:"h"`
	Domain   string        `json:"d,omitempty"`
	Port     uint16        `json:"p"`
	TLS      bool          `json:"l,omitempty"`
	Attempts []keptAttempt `json:"a,omitempty"`
	Status   int           `json:"r,omitempty"`
	Code     string        `json:"e,omitempty"`
	Up       int64         `json:"x,omitempty"`
	Down     int64         `json:"y,omitempty"`
	Took     int64         `json:"z,omitempty"` // microseconds
}

// keptAttempt is one try of a keptTrace.
type keptAttempt struct {
	Endpoint proxy.Endpoint `json:"u"`
	Exit     netip.Addr     `json:"x"`
	Country  string         `json:"c,omitempty"`
	Why      string         `json:"w,omitempty"`
	Stage    uint8          `json:"s,omitempty"`
	Class    uint8          `json:"k,omitempty"`
	Status   int            `json:"r,omitempty"`
	Took     int64          `json:"z,omitempty"` // microseconds
}

// keep is the trace as the store keeps it.
func keep(t *proxy.Trace) keptTrace {
	k := keptTrace{ID: t.ID, At: t.At.UnixMilli(), Client: t.Client, User: t.User, Tag: t.Tag, Session: t.Session, Method: t.Method,
		Host: t.Target.Host, Domain: t.Target.Domain, Port: t.Target.Port, TLS: t.Target.TLS,
		Status: t.Status, Code: t.Code, Up: t.Up, Down: t.Down, Took: t.Took.Microseconds()}
	for _, a := range t.Attempts {
		k.Attempts = append(k.Attempts, keptAttempt{a.Endpoint, a.Exit, a.Country, a.Why, uint8(a.Stage), uint8(a.Class), a.Status, a.Took.Microseconds()})
	}
	return k
}

// trace is the trace that was kept.
func (k *keptTrace) trace() proxy.Trace {
	t := proxy.Trace{ID: k.ID, At: time.UnixMilli(k.At), Client: k.Client, User: k.User, Tag: k.Tag, Session: k.Session, Method: k.Method,
		Target: proxy.Target{Host: k.Host, Domain: k.Domain, Port: k.Port, TLS: k.TLS},
		Status: k.Status, Code: k.Code, Up: k.Up, Down: k.Down, Took: time.Duration(k.Took) * time.Microsecond}
	for _, a := range k.Attempts {
		t.Attempts = append(t.Attempts, proxy.Attempt{Endpoint: a.Endpoint, Exit: a.Exit, Country: a.Country, Why: a.Why,
			Stage: proxy.Stage(a.Stage), Class: proxy.Class(a.Class), Status: a.Status, Took: time.Duration(a.Took) * time.Microsecond})
	}
	return t
}

// keepRequests makes the next write to the store take the latest requests along,
// if there were any since the last time or some of those have got too old.
func (p *Pool) keepRequests() {
	if p.docs.off || !p.requests.due(p.clock.now().Add(-requestAge)) {
		return
	}
	traces := p.endedWhere(maxRequests, everyTrace)
	doc, kept := []byte{'['}, 0
	for i := range traces {
		one, err := json.Marshal(keep(&traces[i]))
		if err != nil || len(doc)+len(one)+2 > maxHistory {
			break
		}
		if kept++; kept > 1 {
			doc = append(doc, ',')
		}
		doc = append(doc, one...)
	}
	if kept == 0 {
		p.docs.put(docRequests, nil)
		return
	}
	p.requests.wrote(endOf(&traces[kept-1]))
	p.docs.put(docRequests, append(doc, ']'))
}

// due reports whether what the store has is not what it should have, and takes
// it for settled.
func (q *requests) due(oldest time.Time) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if !q.unsaved && (q.oldest.IsZero() || !q.oldest.Before(oldest)) {
		return false
	}
	q.unsaved, q.oldest = false, time.Time{}
	return true
}

// wrote notes when the oldest request ended that the store has.
func (q *requests) wrote(oldest time.Time) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.oldest = oldest
}

// load takes over what the store kept, but for what is too old or cannot be read.
// What is ahead of the clock, which was set back then, happened now.
func (q *requests) load(doc []byte, now time.Time) error {
	var kept []json.RawMessage
	if err := json.Unmarshal(doc, &kept); err != nil {
		return err
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, one := range slices.Backward(kept) {
		var k keptTrace
		if json.Unmarshal(one, &k) != nil {
			continue
		}
		t := k.trace()
		if ahead := endOf(&t).Sub(now); ahead > 0 {
			t.At = t.At.Add(-ahead)
		}
		if len(q.ring) < maxRequests && now.Sub(endOf(&t)) < requestAge {
			q.ring = append(q.ring, t)
		}
	}
	q.unsaved = true
	return nil
}
