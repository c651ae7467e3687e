package scraper_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"freeway/internal/loopback"
	"freeway/proxy"
	"freeway/scraper"
)

func TestTargetsValidate(t *testing.T) {
	t.Parallel()
	body := proxy.NewSecret("page={page}")
	for _, c := range []struct {
		name string
		src  scraper.Source
		want string // "" for valid
	}{
		{"post", scraper.Source{URL: "http://127.0.0.1/", Method: "post", Body: body}, ""},
		{"post without a body", scraper.Source{URL: "http://127.0.0.1/", Method: "POST"}, ""},
		{"page in the body", scraper.Source{URL: "http://127.0.0.1/", Method: "POST", Body: body, Pages: scraper.Pages{From: 1, To: 3}}, ""},
		{"get", scraper.Source{URL: "http://127.0.0.1/", Method: "GET"}, ""},
		{"another method", scraper.Source{URL: "http://127.0.0.1/", Method: "DELETE"}, "method: "},
		{"get with a body", scraper.Source{URL: "http://127.0.0.1/", Body: body}, "body: "},
		{"a long body", scraper.Source{URL: "http://127.0.0.1/", Method: "POST", Body: proxy.NewSecret(strings.Repeat("x", 1<<17))}, "body: "},
		{"method of a file", scraper.Source{File: "x", Method: "POST"}, "method: "},
		{"via of a file", scraper.Source{File: "x", Via: "pool"}, "via: "},
		{"direct", scraper.Source{URL: "http://127.0.0.1/", Via: "direct"}, ""},
		{"pool", scraper.Source{URL: "http://127.0.0.1/", Via: "pool"}, ""},
		{"pool with harmless headers", scraper.Source{URL: "http://127.0.0.1/", Via: "pool", Headers: map[string]string{"User-Agent": "x"}}, ""},
		{"pool with a key", scraper.Source{URL: "http://127.0.0.1/", Via: "pool", Headers: map[string]string{"X-Key": "x"}}, "via: "},
		{"pool with a login", scraper.Source{URL: "http://a:b@127.0.0.1/", Via: "pool"}, "via: "},
		{"pool with a token", scraper.Source{URL: "http://127.0.0.1/?token=x", Via: "pool"}, "via: "},
		{"pool with a body", scraper.Source{URL: "http://127.0.0.1/", Via: "pool", Method: "POST", Body: body}, "via: "},
		{"pool with a key inside TLS", scraper.Source{URL: "https://127.0.0.1/", Via: "pool", Headers: map[string]string{"X-Key": "x"}}, ""},
		{"another way", scraper.Source{URL: "http://127.0.0.1/", Via: "tor"}, "via: "},
		{"min_yield", scraper.Source{URL: "http://127.0.0.1/", MinYield: 100}, ""},
		{"negative min_yield", scraper.Source{URL: "http://127.0.0.1/", MinYield: -1}, "min_yield: "},
		{"unreachable min_yield", scraper.Source{URL: "http://127.0.0.1/", MinYield: 1 << 30}, "min_yield: "},
	} {
		c.src.Name = "a"
		err := c.src.Validate()
		if (err == nil) != (c.want == "") || err != nil && !strings.HasPrefix(err.Error(), c.want) {
			t.Errorf("%s: Validate() = %v, want %q", c.name, err, c.want)
		}
	}
}

func TestPost(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	var asked []string
	url := serve(t, func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		mu.Lock()
		asked = append(asked, fmt.Sprintf("%s %s %s%s", r.Method, body, r.Header.Get("Content-Type"), r.Header.Get("If-None-Match")))
		n := len(asked)
		mu.Unlock()
		w.Header().Set("ETag", `"v1"`)
		io.WriteString(w, entries(100*n, 50))
	})
	src := scraper.Source{Name: "a", URL: url, Method: "post", Body: proxy.NewSecret(`{"page":{page},"key":"hunter2"}`), Pages: scraper.Pages{From: 1, To: 2}}
	r := open(t, scraper.Config{}, list(src, scraper.Source{Name: "b", URL: url, Method: "POST", Body: proxy.NewSecret("a=b")},
		scraper.Source{Name: "c", URL: url, Method: "POST", Body: proxy.NewSecret("a"), Headers: map[string]string{"Content-Type": "text/plain"}}))
	for _, name := range []string{"a", "a", "b", "c"} {
		if res, err := r.once(t, name); err != nil || res.Candidates < 50 {
			t.Fatalf("RunNow(%s) = %+v, %v", name, res, err)
		}
	}
	want := []string{`POST {"page":1,"key":"hunter2"} application/json`, `POST {"page":2,"key":"hunter2"} application/json`}
	want = append(append(want, want...), "POST a=b application/x-www-form-urlencoded", "POST a text/plain")
	if got := fmt.Sprintf("%q", asked); got != fmt.Sprintf("%q", want) {
		t.Errorf("asked %s, want %q", got, want)
	}
	if text := fmt.Sprintf("%+v %#v %s", r.Results(), src, r.pool.docs); strings.Contains(text, "hunter2") {
		t.Error("the body is printed")
	}
}

// TestABodyIsForItsOwnServer: after 301, 302 and 303 a POST is a GET, 307 and
// 308 repeat it, and nobody else ever gets the body.
func TestABodyIsForItsOwnServer(t *testing.T) {
	t.Parallel()
	var leaks atomic.Int32
	answer := func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, entries(0, 3)) }
	other := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if body, _ := io.ReadAll(r.Body); len(body) > 0 || r.Method == http.MethodPost {
			leaks.Add(1)
		}
		answer(w, r)
	})
	var last atomic.Value
	own := serve(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		last.Store(r.Method + " " + string(body))
		var status int
		var to string
		if n, _ := fmt.Sscanf(r.URL.Path, "/%d/%s", &status, &to); n < 2 {
			answer(w, r)
			return
		}
		w.Header().Set("Location", map[string]string{"own": "/", "other": other}[to])
		w.WriteHeader(status)
	})
	for _, c := range []struct{ path, want, fails string }{
		{"/301/own", "GET ", ""}, {"/302/own", "GET ", ""}, {"/303/own", "GET ", ""}, {"/307/own", "POST k=1", ""}, {"/308/own", "POST k=1", ""},
		{"/302/other", "POST k=1", ""}, {"/307/other", "POST k=1", "would get the body"}, {"/308/other", "POST k=1", "would get the body"},
	} {
		r := open(t, scraper.Config{}, scraper.Sources{}, allowLoopback)
		res, err := r.Fetch(t.Context(), scraper.Source{URL: own + c.path, Method: "POST", Body: proxy.NewSecret("k=1")})
		if c.fails == "" && (err != nil || len(res.Found) != 3 || res.Requests != 2) || c.fails != "" && (err == nil || !strings.Contains(err.Error(), c.fails)) {
			t.Errorf("%s: Fetch() = %+v, %v, want %q", c.path, res, err, c.fails)
		}
		if got := last.Load(); got != c.want {
			t.Errorf("%s: the list's own server got %q last, want %q", c.path, got, c.want)
		}
	}
	if n := leaks.Load(); n != 0 {
		t.Errorf("another server got the body %d times", n)
	}
}

func TestMinYield(t *testing.T) {
	t.Parallel()
	var n atomic.Int32
	url := serve(t, func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, entries(0, int(n.Load()))) })
	src := scraper.Source{Name: "a", URL: url, MinYield: 10}
	r := open(t, scraper.Config{}, list(src))
	for _, c := range []struct {
		offers, kept int
		alarm        bool
	}{{9, 0, true}, {10, 10, false}, {9, 10, true}, {0, 10, true}, {12, 12, false}} {
		n.Store(int32(c.offers))
		res, err := r.once(t, "a")
		if errors.Is(err, scraper.ErrAlarm) != c.alarm || (err != nil) != c.alarm || c.alarm != strings.Contains(res.Err, "min_yield is 10") {
			t.Errorf("a list of %d: RunNow() = %v, %q, want an alarm: %v", c.offers, err, res.Err, c.alarm)
		}
		if kept, _ := r.pool.has("a"); kept != c.kept {
			t.Errorf("after a list of %d the sink has %d endpoints, want %d", c.offers, kept, c.kept)
		}
	}
	n.Store(3)
	if res, err := r.Fetch(t.Context(), src); !errors.Is(err, scraper.ErrAlarm) || len(res.Found) != 3 {
		t.Errorf("Fetch() = %d endpoints, %v, want 3 and an alarm", len(res.Found), err)
	}
}

// TestViaPool: a list is fetched through the pool or not at all, and the result
// says so.
func TestViaPool(t *testing.T) {
	t.Parallel()
	var direct atomic.Int32
	url := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if _, port, _ := net.SplitHostPort(r.RemoteAddr); port == "" {
			t.Error("no port")
		}
		if r.Host != "list.example" {
			direct.Add(1)
		}
		if r.URL.Path == "/away" {
			http.Redirect(w, r, "http://10.0.0.1/", http.StatusFound)
			return
		}
		io.WriteString(w, entries(0, 30))
	})
	down := errors.New("no upstream is live")
	var up atomic.Bool
	var asked sync.Map
	via := func(ctx context.Context, network, addr string) (net.Conn, error) {
		asked.Store(addr, true)
		if !up.Load() {
			return nil, down
		}
		d := &net.Dialer{Control: loopback.Guard(t)}
		return d.DialContext(ctx, network, strings.TrimPrefix(url, "http://"))
	}
	src := scraper.Source{Name: "a", URL: "http://list.example/", Via: "pool"}
	away := scraper.Source{Name: "b", URL: "http://list.example/away", Via: "pool"}
	r := open(t, scraper.Config{}, list(src, away), func(e *scraper.Env) { e.Via = via })
	for range 4 { // upstreams that fail are not held against the host
		if res, err := r.once(t, "a"); !errors.Is(err, down) || res.Via != "pool" {
			t.Errorf("without upstreams RunNow() = %+v, %v, want the pool's error", res, err)
		}
	}
	up.Store(true)
	if res, err := r.once(t, "a"); err != nil || res.Candidates != 30 || res.Via != "pool" {
		t.Errorf("RunNow() = %+v, %v, want 30 candidates through the pool", res, err)
	}
	if _, err := r.once(t, "b"); err == nil || !strings.Contains(err.Error(), "forbidden address") {
		t.Errorf("a redirect into a private network through the pool: %v, want it refused", err)
	}
	none := open(t, scraper.Config{}, list(src))
	if res, err := none.once(t, "a"); err == nil || !strings.Contains(res.Err, "there is no pool to fetch through") || res.Via != "pool" {
		t.Errorf("without a pool RunNow() = %+v, %v, want a clear error", res, err)
	}
	if n := direct.Load(); n != 0 {
		t.Errorf("the list was fetched directly %d times", n)
	}
	if _, ok := asked.Load("list.example:80"); !ok {
		t.Error("the pool was not asked for the name of the host")
	}
}

// TestViaPoolVerifiesTLS: upstreams cannot pretend to be the list's server.
func TestViaPoolVerifiesTLS(t *testing.T) {
	t.Parallel()
	srv := httptest.NewUnstartedServer(http.NotFoundHandler())
	srv.Config.ErrorLog = log.New(io.Discard, "", 0)
	srv.StartTLS()
	t.Cleanup(srv.Close)
	r := open(t, scraper.Config{}, scraper.Sources{}, func(e *scraper.Env) {
		e.Via = func(ctx context.Context, network, _ string) (net.Conn, error) {
			return (&net.Dialer{Control: loopback.Guard(t)}).DialContext(ctx, network, srv.Listener.Addr().String())
		}
	})
	if _, err := r.Fetch(t.Context(), scraper.Source{URL: "https://list.example/", Via: "pool"}); err == nil || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("Fetch() = %v, want an error of TLS", err)
	}
}

// TestCost: a result says what was spent on it.
func TestCost(t *testing.T) {
	t.Parallel()
	packed := pack(t, "gzip", strings.NewReader(entries(0, 1000)))
	var change atomic.Bool
	url := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/" {
			http.Redirect(w, r, "/list", http.StatusFound)
			return
		}
		if change.Load() {
			io.WriteString(w, entries(1, 1000))
			return
		}
		w.Header().Set("Content-Encoding", "gzip")
		w.Write(packed)
	})
	r := open(t, scraper.Config{}, list(scraper.Source{Name: "a", URL: url}), func(e *scraper.Env) {
		e.Policy = proxy.NewAddrPolicy(netip.MustParsePrefix("127.0.0.0/8"))
	})
	first, err := r.once(t, "a")
	if err != nil || first.Requests != 2 || first.Received != int64(len(packed)) || first.Bytes != int64(len(entries(0, 1000))) || first.Changed.IsZero() {
		t.Errorf("RunNow() = %+v, %v, want 2 requests and %d bytes", first, err, len(packed))
	}
	second, err := r.once(t, "a")
	if err != nil || second.Changed != first.Changed {
		t.Errorf("the same list: RunNow() = %+v, %v, want it unchanged since %v", second, err, first.Changed)
	}
	change.Store(true)
	third, err := r.once(t, "a")
	if err != nil || !third.Changed.After(first.Changed) {
		t.Errorf("another list: RunNow() = %+v, %v, want it changed", third, err)
	}
	want := scraper.Total{Runs: 3, Requests: 6, Received: 2*first.Received + third.Received, Bytes: 2*first.Bytes + third.Bytes,
		Took: first.Took + second.Took + third.Took, Offered: 3000, New: 3000, Changed: 2}
	if third.Total != want {
		t.Errorf("Total = %+v, want %+v", third.Total, want)
	}
}
