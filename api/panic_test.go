package api_test

import (
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"freeway/api"
)

// TestThreat92AHandlerPanics: it is answered with 500, counted, and the next
// request is served; a handler that aborts its answer on purpose is not counted.
func TestThreat92AHandlerPanics(t *testing.T) {
	t.Parallel()
	var panics atomic.Int64
	w := open(t, func(_ *api.Config, e *api.Env) {
		e.Panicked = func() { panics.Add(1) }
		e.Config = func() any { panic("a secret mistake") }
		e.Dashboard = http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic("another") })
	})
	for i, path := range []string{"/api/config", "/", "/api/config"} {
		status, h, body := w.do("GET", path, "")
		if status != 500 || h.Get("Content-Type") != "application/problem+json" || strings.Contains(body, "mistake") {
			t.Errorf("GET %s = %d %s, want a 500 that tells nothing", path, status, body)
		}
		if status, _, _ := w.do("GET", "/livez", ""); status != 200 || panics.Load() != int64(i+1) {
			t.Errorf("afterwards /livez says %d, and %d panics are counted", status, panics.Load())
		}
	}
}
