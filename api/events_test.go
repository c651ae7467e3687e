package api_test

import (
	"bufio"
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"freeway/api"
	"freeway/pool"
	"freeway/proxy"
)

// watcher reads a stream of events.
type watcher struct {
	t    *testing.T
	scan *bufio.Scanner
}

// watch opens /api/events; the stream ends with the test.
func watch(t *testing.T, url, since string) *watcher {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	req, err := http.NewRequestWithContext(ctx, "GET", url, nil)
	if err != nil {
		t.Fatal(err)
	}
	if since != "" {
		req.Header.Set("Last-Event-ID", since)
	}
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cancel(); resp.Body.Close() })
	if resp.StatusCode != 200 || resp.Header.Get("Content-Type") != "text/event-stream" {
		t.Fatalf("GET %s = %d %s", url, resp.StatusCode, resp.Header.Get("Content-Type"))
	}
	w := &watcher{t, bufio.NewScanner(resp.Body)}
	w.scan.Scan() // the greeting: from here on nothing is missed
	return w
}

// next returns the next event.
func (w *watcher) next() (id, kind, data string) {
	w.t.Helper()
	for w.scan.Scan() {
		name, value, _ := strings.Cut(w.scan.Text(), ": ")
		switch {
		case name == "id":
			id = value
		case name == "event":
			kind = value
		case name == "data":
			data = value
		case w.scan.Text() == "" && kind != "":
			return id, kind, data
		}
	}
	w.t.Fatalf("the stream ended: %v", w.scan.Err())
	return "", "", ""
}

// watched is an API whose pool tells a hub.
func watched(t *testing.T) (*world, *api.Hub) {
	hub := api.NewHub(time.Now())
	w := open(t, func(_ *api.Config, e *api.Env) {
		p, err := pool.Open(t.Context(), pool.Config{}, pool.Env{Events: hub.Publish})
		if err != nil {
			t.Fatal(err)
		}
		e.Pool, e.Hub = p, hub
	})
	return w, hub
}

func TestEvents(t *testing.T) {
	t.Parallel()
	w, hub := watched(t)
	all := watch(t, w.url+"/api/events", "")
	requests := watch(t, w.url+"/api/events?kind=request", "")
	if _, err := w.pool.Add(t.Context(), "list", []proxy.Candidate{{Endpoint: proxy.Endpoint{Protocol: proxy.HTTP, Host: "9.9.9.9", Port: 80}}}); err != nil {
		t.Fatal(err)
	}
	id, kind, data := all.next()
	if kind != "source" || !strings.Contains(data, `"source":"list","new":1`) {
		t.Errorf("first event = %s %s, want the source", kind, data)
	}
	w.check(1, proxy.OK, "9.9.9.1", time.Millisecond)
	_, kind, data = all.next()
	var p api.ProxyEvent
	if err := json.Unmarshal([]byte(data), &p); err != nil || kind != "proxy" || p.From != proxy.New || p.Proxy.State != proxy.Live {
		t.Errorf("second event = %s %s (%v), want a proxy that became live", kind, data, err)
	}
	w.pool.Record(proxy.Trace{ID: "r1", At: time.Now(), Method: "GET\nid: 7"})
	_, kind, data = requests.next()
	if kind != "request" || !strings.Contains(data, `"id":"r1"`) || strings.Contains(data, "\n") {
		t.Errorf("first request = %s %s", kind, data)
	}
	// A client that comes back is given what it missed.
	again := watch(t, w.url+"/api/events", id)
	for _, want := range []string{"proxy", "request"} {
		if _, kind, _ := again.next(); kind != want {
			t.Errorf("after Last-Event-ID: %s, want %s", kind, want)
		}
	}
	// One that was away for too long is told so.
	if _, kind, _ := watch(t, w.url+"/api/events?last_event_id=17", "").next(); kind != "lost" {
		t.Errorf("after an old id: %s, want lost", kind)
	}
	hub.Close()
	if all.scan.Scan(); all.scan.Text() == "" {
		all.scan.Scan()
	}
	for all.scan.Scan() {
	}
	if err := all.scan.Err(); err != nil {
		t.Errorf("the stream ends with %v, want a clean end", err)
	}
}

func TestEventsBadQuery(t *testing.T) {
	t.Parallel()
	w, _ := watched(t)
	for _, query := range []string{"?kind=nothing", "?last_event_id=x", "?what=1", "?kind=proxy&kind=request"} {
		if status, _, body := w.do("GET", "/api/events"+query, ""); status != http.StatusUnprocessableEntity {
			t.Errorf("GET /api/events%s = %d %s, want 422", query, status, body)
		}
	}
}

func TestHubLimits(t *testing.T) {
	t.Parallel()
	w, hub := watched(t)
	for range 5000 {
		hub.Publish(pool.Event{Kind: "request"})
	}
	streams := 0
	for range 100 {
		watch(t, w.url+"/api/events", "")
		streams++
	}
	if status, header, _ := w.do("GET", "/api/events", ""); status != http.StatusServiceUnavailable || header.Get("Retry-After") == "" {
		t.Errorf("stream %d = %d, want 503 with Retry-After", streams+1, status)
	}
}

// TestJobEvents: who asks for a check is told when it has ended, once.
func TestJobEvents(t *testing.T) {
	t.Parallel()
	w, hub := watched(t)
	if _, err := w.pool.Add(t.Context(), "list", []proxy.Candidate{{Endpoint: proxy.Endpoint{Protocol: proxy.HTTP, Host: "9.9.9.9", Port: 80}}}); err != nil {
		t.Fatal(err)
	}
	jobs := watch(t, w.url+"/api/events?kind=job", "")
	w.check(1, proxy.Refused, "", 0) // nobody asked
	id := w.page("").Items[0].ID
	if status, _, body := w.do("POST", "/api/proxies/"+id+"/check", ""); status != http.StatusAccepted {
		t.Fatalf("check = %d %s", status, body)
	}
	w.check(1, proxy.OK, "9.9.9.1", time.Millisecond)
	_, kind, data := jobs.next()
	var j api.JobEvent
	if err := json.Unmarshal([]byte(data), &j); err != nil || kind != "job" || j.Job != "check" || j.Proxy == nil || j.Proxy.ID != id || j.Proxy.State != proxy.Live {
		t.Errorf("event = %s %s (%v), want the check that was asked for", kind, data, err)
	}
	hub.Publish(pool.Event{Kind: "job", At: time.Now(), Job: "run", Source: "list", Err: "404 Not Found"})
	if _, _, data := jobs.next(); !strings.Contains(data, `"job":"run","source":"list","error":"404 Not Found"`) {
		t.Errorf("second job = %s, want the run", data)
	}
}
