package api_test

import (
	"strings"
	"testing"
	"time"

	"freeway/api"
)

func TestReadySays(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name   string
		ready  api.Ready
		usable int
		since  time.Duration
		ok     bool
		text   string
	}{
		{"none", api.DefaultReady(), 0, time.Hour, false, "no proxy is live yet"},
		{"one", api.DefaultReady(), 1, 0, true, "1 can be used"},
		{"too few", api.Ready{Upstreams: 5, WarmUp: time.Minute}, 4, 59 * time.Second, false, "4 can be used, 5 are needed"},
		{"enough", api.Ready{Upstreams: 5, WarmUp: time.Minute}, 5, time.Second, true, "5 can be used"},
		{"warm", api.Ready{Upstreams: 5, WarmUp: time.Minute}, 0, time.Minute, true, "0 can be used, fewer than 5; the warm-up is over"},
		{"nothing is asked for", api.Ready{}, 0, 0, true, "0 can be used"},
	} {
		if ok, text := tt.ready.Says(tt.usable, tt.since); ok != tt.ok || text != tt.text {
			t.Errorf("%s: %v %q, want %v %q", tt.name, ok, text, tt.ok, tt.text)
		}
	}
	err := api.Config{Ready: api.Ready{Upstreams: -1, WarmUp: 25 * time.Hour}}.Validate()
	if err == nil || !strings.Contains(err.Error(), "ready.upstreams: -1") || !strings.Contains(err.Error(), "ready.warm_up: 25h") {
		t.Errorf("Validate = %v", err)
	}
}
