package api

import (
	"encoding/json"
	"fmt"
	"net/http"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"freeway/pool"
	"freeway/proxy"
)

const (
	eventsKept  = 2000             // for clients that come back with Last-Event-ID
	maxWatchers = 100              // at once; each costs a connection and a goroutine
	heartbeat   = 20 * time.Second // silence after which a comment shows that the line is up
	eventsWrite = 30 * time.Second // a client that takes nothing for so long is cut
)

// Hub keeps the latest events and wakes those who stream them. Its Publish is
// meant for pool.Env.Events. Use NewHub.
type Hub struct {
	mu    sync.Mutex // protects the fields below
	ring  []happening
	last  uint64        // id of the newest; ids grow by one
	news  chan struct{} // closed when something is published
	users int

	closed chan struct{} // by Close
	once   sync.Once
}

// happening is an event with its number.
type happening struct {
	id    uint64
	event pool.Event
}

// NewHub returns an empty hub. Ids begin with the clock, so that those of an
// earlier run are older.
func NewHub(now time.Time) *Hub {
	return &Hub{last: uint64(max(now.UnixMilli(), 0)) << 10, news: make(chan struct{}), closed: make(chan struct{})}
}

// Close ends all streams, and those to come at once. The server calls it when
// it shuts down; it may be called twice.
func (h *Hub) Close() { h.once.Do(func() { close(h.closed) }) }

// isClosed reports whether Close was called.
func (h *Hub) isClosed() bool {
	select {
	case <-h.closed:
		return true
	default:
		return false
	}
}

// Publish adds an event. It never waits for readers.
func (h *Hub) Publish(e pool.Event) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.last++
	if len(h.ring) == eventsKept {
		h.ring = slices.Delete(h.ring, 0, eventsKept/4)
	}
	h.ring = append(h.ring, happening{h.last, e})
	if h.users > 0 {
		close(h.news)
		h.news = make(chan struct{})
	}
}

// after returns what came after an id, and a channel that is closed when more
// comes. lost: some of it is not kept any more.
func (h *Hub) after(id uint64) (list []happening, news <-chan struct{}, lost bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	from, _ := slices.BinarySearchFunc(h.ring, id+1, func(x happening, id uint64) int { return int(int64(x.id - id)) })
	lost = id < h.last && (from == len(h.ring) || h.ring[from].id != id+1)
	return slices.Clone(h.ring[from:]), h.news, lost
}

// join counts a watcher in; false: there are too many.
func (h *Hub) join() (newest uint64, ok bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.users >= maxWatchers {
		return 0, false
	}
	h.users++
	return h.last, true
}

// leave counts a watcher out.
func (h *Hub) leave() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.users--
}

// ProxyEvent is the data of an event "proxy".
type ProxyEvent struct {
	At    *time.Time  `json:"at"`
	From  proxy.State `json:"from" doc:"The state before; the proxy has the new one."`
	Proxy Proxy       `json:"proxy"`
}

// SourceEvent is the data of an event "source": a list was read.
type SourceEvent struct {
	At      *time.Time `json:"at"`
	Source  string     `json:"source"`
	New     int        `json:"new"`
	Known   int        `json:"known"`
	Refused int        `json:"refused"`
}

// JobEvent is the data of an event "job": a check that was asked for, or a run
// of a source, ended.
type JobEvent struct {
	At     *time.Time `json:"at"`
	Job    string     `json:"job" enum:"check,run"`
	Proxy  *Proxy     `json:"proxy,omitempty" doc:"Of a check: the proxy as it is now."`
	Source string     `json:"source,omitempty" doc:"Of a run."`
	Error  string     `json:"error,omitempty" doc:"Of a run that failed: why."`
}

// jobEvent shows a job.
func jobEvent(e pool.Event) JobEvent {
	out := JobEvent{At: stamp(e.At), Job: e.Job, Source: e.Source, Error: e.Err}
	if e.Job == "check" {
		p := View(e.Entry)
		out.Proxy = &p
	}
	return out
}

// payload is the data of an event as the API shows it.
func payload(e pool.Event) any {
	switch e.Kind {
	case "proxy":
		return ProxyEvent{stamp(e.At), e.From, View(e.Entry)}
	case "request":
		return request(e.Trace)
	case "job":
		return jobEvent(e)
	}
	refused := 0
	for _, n := range e.Yield.Refused {
		refused += n
	}
	return SourceEvent{stamp(e.At), e.Source, e.Yield.New, e.Yield.Known, refused}
}

// eventKinds are the values of ?kind=.
var eventKinds = []string{"proxy", "request", "source", "job"}

// events streams what happens as server-sent events. It begins behind
// Last-Event-ID (or ?last_event_id=), else with what happens from now on.
func (a *API) events(w http.ResponseWriter, r *http.Request) {
	kinds, since, err := eventsQuery(r)
	if err != nil {
		writeProblem(w, http.StatusUnprocessableEntity, err.Error())
		return
	}
	newest, ok := a.env.Hub.join()
	if !ok {
		w.Header().Set("Retry-After", "30")
		writeProblem(w, http.StatusServiceUnavailable, fmt.Sprintf("%d clients watch already; close one", maxWatchers))
		return
	}
	defer a.env.Hub.leave()
	if since == 0 {
		since = newest
	}
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("X-Accel-Buffering", "no")
	if r.Method == http.MethodHead {
		return
	}
	s := eventStream{w: w, out: http.NewResponseController(w), kinds: kinds}
	s.line(": hello\nretry: 2000\n\n")
	for s.err == nil {
		list, news, lost := a.env.Hub.after(since)
		if lost {
			s.line("event: lost\ndata: {}\n\n")
		}
		for _, x := range list {
			s.send(x)
			since = x.id
		}
		if lost && len(list) == 0 {
			since = newest
		}
		if s.flush(); s.err != nil {
			return
		}
		timer := time.NewTimer(heartbeat)
		select {
		case <-r.Context().Done():
		case <-a.env.Hub.closed:
		case <-news:
		case <-timer.C:
			s.line(": still here\n\n")
		}
		timer.Stop()
		if r.Context().Err() != nil || a.env.Hub.isClosed() {
			return
		}
	}
}

// eventsQuery reads the query and the header.
func eventsQuery(r *http.Request) (kinds []string, since uint64, err error) {
	q := r.URL.Query()
	for name := range q {
		if name != "kind" && name != "last_event_id" {
			return nil, 0, fmt.Errorf("%s: unknown parameter; there are kind and last_event_id", clip(name))
		}
	}
	kinds = eventKinds
	if s := q.Get("kind"); s != "" {
		kinds = strings.Split(strings.ToLower(s), ",")
		for _, k := range kinds {
			if !slices.Contains(eventKinds, k) {
				return nil, 0, fmt.Errorf("kind: %q is not one of %s", clip(k), strings.Join(eventKinds, ", "))
			}
		}
	}
	id := r.Header.Get("Last-Event-ID")
	if s := q.Get("last_event_id"); s != "" {
		id = s
	}
	if id == "" {
		return kinds, 0, nil
	}
	if since, err = strconv.ParseUint(id, 10, 64); err != nil {
		return nil, 0, fmt.Errorf("last_event_id: %q is not the id of an event", clip(id))
	}
	return kinds, since, nil
}

// eventStream writes events to one client.
type eventStream struct {
	w     http.ResponseWriter
	out   *http.ResponseController
	kinds []string
	err   error // of the connection; nothing is written after it
}

// line writes text under a deadline.
func (s *eventStream) line(text string) {
	if s.err == nil {
		s.out.SetWriteDeadline(time.Now().Add(eventsWrite)) //nolint:errcheck // a recorder in tests has none
		_, s.err = s.w.Write([]byte(text))
	}
}

// send writes an event of a wanted kind. JSON has no line ends in it.
func (s *eventStream) send(x happening) {
	if !slices.Contains(s.kinds, x.event.Kind) {
		return
	}
	data, err := json.Marshal(payload(x.event))
	if err == nil {
		s.line(fmt.Sprintf("id: %d\nevent: %s\ndata: %s\n\n", x.id, x.event.Kind, data))
	}
}

// flush hands out what was written.
func (s *eventStream) flush() {
	if s.err == nil {
		s.err = s.out.Flush()
	}
}

// documentEvents adds the stream to the OpenAPI document; huma does not serve it.
func documentEvents(h huma.API) {
	doc := h.OpenAPI()
	text := &huma.Schema{Type: "string"}
	doc.AddOperation(&huma.Operation{OperationID: "watch-events", Method: http.MethodGet, Path: "/api/events", Tags: []string{"status"},
		Summary: "What happens, as server-sent events",
		Description: "Events proxy (a proxy became live or unsafe, or is live no more), request (one through the gateway ended), source (a list that had changed was read) and job (a check that was asked for, or a run of a source, ended). " +
			"The stream goes on behind Last-Event-ID; an event lost says that some of what came after it is gone.",
		Parameters: []*huma.Param{
			{Name: "kind", In: "query", Description: "proxy, request, source, job; several by comma. Without it all.", Schema: text},
			{Name: "last_event_id", In: "query", Description: "In place of the header, for clients that cannot send it.", Schema: text},
			{Name: "Last-Event-ID", In: "header", Description: "The id of the last event that was seen.", Schema: text},
		},
		Responses: map[string]*huma.Response{
			"200": {Description: "The stream.", Content: map[string]*huma.MediaType{"text/event-stream": {Schema: text}}},
			"422": {Description: "A parameter that means nothing."},
			"503": {Description: "Too many clients watch."},
		}})
	for name, t := range map[string]reflect.Type{"ProxyEvent": typeOf[ProxyEvent](), "SourceEvent": typeOf[SourceEvent](), "JobEvent": typeOf[JobEvent]()} {
		doc.Components.Schemas.Schema(t, true, name)
	}
}
