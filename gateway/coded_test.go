package gateway_test

import (
	"io"
	"net/http"
	"testing"

	"freeway/gateway"
	"freeway/proxy"
)

// TestPackedUnasked: an answer that an upstream packed for a client that did not ask for that is got
// from another exit. A target that packs by itself is remembered, and nobody is blamed.
func TestPackedUnasked(t *testing.T) {
	t.Parallel()
	packed := func() proxy.Endpoint {
		return answering(t, proxy.HTTP, "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 6\r\n\r\npacked")
	}
	plain := func() proxy.Endpoint {
		return answering(t, proxy.HTTP, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nplain")
	}
	for _, tt := range []struct {
		name, method, accept, pool string
		ups                        []proxy.Endpoint
		body                       string
		tries                      []int // of one request after the other
	}{
		{"nothing asked", "GET", "", "", []proxy.Endpoint{packed(), plain()}, "plain", []int{2}},
		{"refused", "GET", "identity, gzip;q=0", "", []proxy.Endpoint{packed(), plain()}, "plain", []int{2}},
		{"another coding", "GET", "br, deflate", "", []proxy.Endpoint{packed(), plain()}, "plain", []int{2}},
		{"asked", "GET", "br, GZIP;q=0.5", "", []proxy.Endpoint{packed(), plain()}, "packed", []int{1}},
		{"anything goes", "GET", "*", "", []proxy.Endpoint{packed(), plain()}, "packed", []int{1}},
		{"twice", "GET", "", "", []proxy.Endpoint{packed(), packed(), plain()}, "plain", []int{3, 3}},
		{"the target packs", "GET", "", "", []proxy.Endpoint{packed(), packed(), packed(), plain()}, "packed", []int{3, 1, 1}},
		{"no other exit", "GET", "", "", []proxy.Endpoint{packed()}, "packed", []int{1, 1}},
		{"not repeatable", "POST", "", "", []proxy.Endpoint{packed(), plain()}, "packed", []int{1}},
		{"own upstream", "GET", "", "own", []proxy.Endpoint{packed(), plain()}, "packed", []int{1}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, gateway.Config{}, tt.ups...)
			for i := range r.p.entries {
				r.p.entries[i].Pool = tt.pool
			}
			outcomes := 0
			for i, tries := range tt.tries {
				req, _ := http.NewRequest(tt.method, "http://shop.example/", http.NoBody)
				if tt.accept != "" {
					req.Header.Set("Accept-Encoding", tt.accept)
				}
				p, err := r.client("").Do(req)
				if err != nil {
					t.Fatal(err)
				}
				body, _ := io.ReadAll(p.Body)
				p.Body.Close()
				if p.StatusCode != 200 || string(body) != tt.body {
					t.Errorf("answer %v %q, want %q", p.Status, body, tt.body)
				}
				if tr := r.p.trace(t, i+1); len(tr.Attempts) != tries {
					t.Errorf("request %d took %d tries, want %d", i, len(tr.Attempts), tries)
				}
				outcomes += tries
			}
			for _, o := range r.p.outcomes(t, outcomes) {
				if o.Class != proxy.OK {
					t.Errorf("blamed: %+v", o)
				}
			}
		})
	}
}
