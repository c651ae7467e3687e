package e2e_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"freeway/internal/loopback"
	"freeway/lab"
	"freeway/proxy"
)

// scale is how large the world is. The full one takes some minutes and runs
// when FREEWAY_WORLD is "full".
type scale struct {
	upstreams, workers   int
	warm, steady, churn  time.Duration // of load; 0: none
	every                time.Duration // a fifth of the healthy die
	rightWarm, rightDead float64       // the least part of right answers, steady and while upstreams die
	timed                bool          // times are judged as well
	timeout              time.Duration // of a check
}

func worldScale() scale {
	if os.Getenv("FREEWAY_WORLD") == "full" {
		return scale{upstreams: 200, workers: 50, warm: 5 * time.Second, steady: time.Minute, churn: 2 * time.Minute, every: 30 * time.Second,
			rightWarm: 0.995, rightDead: 0.99, timed: true, timeout: 6 * time.Second}
	}
	return scale{upstreams: 60, workers: 8, warm: time.Second, steady: 2 * time.Second, churn: 1500 * time.Millisecond, every: time.Minute,
		rightWarm: 0.93, rightDead: 0.8, timeout: 3 * time.Second} // too few requests for more
}

// worldMix is a bad list: 15 % work.
func worldMix() []lab.Share {
	const usual = 300 * time.Millisecond
	protocols := []proxy.Protocol{proxy.HTTP, proxy.HTTP, proxy.HTTP, proxy.SOCKS5, proxy.SOCKS4}
	mix := []lab.Share{{Behaviour: lab.Healthy, Weight: 15, Latency: usual}, {Behaviour: lab.Refused, Weight: 30}, {Behaviour: lab.Silent, Weight: 15},
		{Behaviour: lab.Slow, Weight: 5}, {Behaviour: lab.Flaky, Weight: 5, Latency: usual}, {Behaviour: lab.ResetMidBody, Weight: 4, Latency: usual},
		{Behaviour: lab.CutBody, Weight: 4, Latency: usual}, {Behaviour: lab.Garbage, Weight: 5}, {Behaviour: lab.LoginPage, Weight: 4},
		{Behaviour: lab.Tamper, Weight: 4, Latency: usual / 4}, {Behaviour: lab.Intercept, Weight: 4, Latency: usual / 4},
		{Behaviour: lab.ConnectNotAllowed, Weight: 5, Latency: usual}}
	for i := range mix {
		mix[i].Protocols = protocols
	}
	return mix
}

// world is a lab and a server over it.
type world struct {
	*server
	lab  *lab.Lab
	size scale
}

func newWorld(t *testing.T, size scale) *world {
	t.Helper()
	l, err := lab.Start(context.Background(), lab.Config{Seed: 11, Upstreams: size.upstreams, Mix: worldMix()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	dir := t.TempDir()
	key, ca := dir+"/judge.key", dir+"/ca.pem"
	for name, data := range map[string][]byte{key: l.JudgeKey(), ca: l.CAPEM()} {
		if err := os.WriteFile(name, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var lists strings.Builder
	for i, u := range l.ListURLs() {
		name := strings.TrimSuffix(u[strings.LastIndexByte(u, '/')+1:], ".txt")
		fmt.Fprintf(&lists, "    - {name: lab%d, url: %q, schedule: \"@every 5s\"", i, u)
		if slices.Contains([]string{"http", "https", "socks4", "socks5"}, name) {
			fmt.Fprintf(&lists, ", protocols: [%s]", name)
		}
		lists.WriteString("}\n")
	}
	s := serve(t, fmt.Sprintf(`
gateway: {listen: "GATEWAY"}
sources:
  builtin: false
  list:
%schecker:
  judges: [{url: %q, key_file: %q}, {url: %q, key_file: %q}]
  judge_ca: %q
  own_ips: [127.0.0.1]
  connect_timeout: 2s
  timeout: %v
network: {allow_upstreams: [127.0.0.0/8], allow_targets: [127.0.0.0/8]}
`, lists.String(), l.JudgeHTTP()+"/", key, l.JudgeHTTPS()+"/", key, ca, size.timeout))
	t.Cleanup(func() {
		if t.Failed() {
			_, stats := s.get(t, "/api/stats")
			t.Logf("stats: %s", stats)
		}
	})
	return &world{server: s, lab: l, size: size}
}

// checked waits until all but a few were checked once; what a list only guessed may stay new.
func (w *world) checked(t *testing.T) {
	t.Helper()
	eventually(t, "every proxy was checked", func() bool {
		all := w.total(t, "")
		return all >= w.size.upstreams*9/10 && w.total(t, "state=new") <= all/10 && w.total(t, "state=live") >= w.size.upstreams/10
	})
}

// tally is what became of requests.
type tally struct {
	mu      sync.Mutex // protects the fields below
	took    []time.Duration
	failed  map[string]int // by reason
	wrong   int            // bodies
	foreign int            // certificates
}

// add takes one.
func (r *tally) add(took time.Duration, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	var unknown x509.UnknownAuthorityError
	switch {
	case err == nil:
		r.took = append(r.took, took)
		return
	case errors.Is(err, errWrong):
		r.wrong++
	case errors.As(err, &unknown):
		r.foreign++
	}
	if r.failed == nil {
		r.failed = map[string]int{}
	}
	why := err.Error()
	if e := (*url.Error)(nil); errors.As(err, &e) {
		why = e.Err.Error()
	}
	r.failed[why]++
}

// rate is the part that got the right answer.
func (r *tally) rate() float64 {
	n := 0
	for _, k := range r.failed {
		n += k
	}
	return float64(len(r.took)) / float64(max(len(r.took)+n, 1))
}

// p95 is within which time 95 % of the right answers came.
func (r *tally) p95() time.Duration {
	slices.Sort(r.took)
	if len(r.took) == 0 {
		return 0
	}
	return r.took[len(r.took)*95/100]
}

var errWrong = errors.New("a wrong body")

// fetch gets some bytes of the lab's target through a proxy and checks each of them.
func (w *world) fetch(c *http.Client, base string) (time.Duration, error) {
	n, seed := 1+rand.IntN(20_000), fmt.Sprint(rand.Uint64())
	want := make([]byte, n)
	_, _ = rand.NewChaCha8(sha256.Sum256([]byte(seed))).Read(want)
	began := time.Now()
	p, err := c.Get(fmt.Sprintf("%s/bytes/%d?seed=%s", base, n, seed))
	if err != nil {
		return 0, err
	}
	defer p.Body.Close()
	body, err := io.ReadAll(p.Body)
	if err != nil {
		return 0, err
	}
	took := time.Since(began)
	if code := p.Header.Get("Freeway-Error"); code != "" {
		return 0, fmt.Errorf("%d %s: %s", p.StatusCode, code, bytes.TrimSpace(body))
	}
	if p.StatusCode != 200 || !bytes.Equal(body, want) {
		return 0, fmt.Errorf("%w: %s, %d bytes of %d", errWrong, p.Status, len(body), n)
	}
	return took, nil
}

// client uses a proxy, each time over a new connection.
func (w *world) client(t *testing.T, proxyURL string) *http.Client {
	u, err := url.Parse(proxyURL)
	if err != nil {
		t.Fatal(err)
	}
	return &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{Proxy: http.ProxyURL(u), DisableKeepAlives: true, DisableCompression: true,
		DialContext: (&net.Dialer{Control: loopback.Guard(t)}).DialContext, TLSClientConfig: &tls.Config{RootCAs: w.lab.Roots()}}}
}

// load has workers fetch pages of a target until the time is up.
func (w *world) load(workers int, d time.Duration, base string, client func(i int) *http.Client) *tally {
	r := &tally{}
	until := time.Now().Add(d)
	var wg sync.WaitGroup
	for i := range workers {
		c := client(i)
		wg.Go(func() {
			for time.Now().Before(until) {
				r.add(w.fetch(c, base))
			}
		})
	}
	wg.Wait()
	return r
}

// direct loads the healthy HTTP upstreams themselves, for plain pages and others.
func (w *world) direct(t *testing.T) map[string]*tally {
	var healthy []string
	for _, x := range w.lab.Truth() {
		if x.Behaviour == lab.Healthy && x.Protocol == proxy.HTTP {
			healthy = append(healthy, x.Endpoint.String())
		}
	}
	d, client := min(w.size.steady/2, 10*time.Second), func(i int) *http.Client { return w.client(t, healthy[i]) }
	var plain, secure *tally
	var wg sync.WaitGroup
	wg.Go(func() { plain = w.load(len(healthy), d, w.lab.HTTPName(), client) })
	wg.Go(func() { secure = w.load(len(healthy), d, w.lab.HTTPSName(), client) })
	wg.Wait()
	return map[string]*tally{"http": plain, "https": secure}
}

// both loads the gateway with plain requests and with tunnels at once, and holds
// the results against the least rate.
func (w *world) both(t *testing.T, name string, d time.Duration, least float64) (plain, secure *tally) {
	t.Helper()
	through := func(int) *http.Client { return w.client(t, "http://"+w.gateway) }
	var wg sync.WaitGroup
	wg.Go(func() { plain = w.load(w.size.workers/2, d, w.lab.HTTPName(), through) })
	wg.Go(func() { secure = w.load(w.size.workers/2, d, w.lab.HTTPSName(), through) })
	wg.Wait()
	for kind, r := range map[string]*tally{"http": plain, "https": secure} {
		t.Logf("%s, %s: %.2f %% of %d right, p95 %v, failed %v", name, kind, 100*r.rate(), len(r.took), r.p95().Round(time.Millisecond), r.failed)
		if r.rate() < least || r.wrong > 0 || r.foreign > 0 {
			t.Errorf("%s, %s: %.2f %% right, %d wrong bodies, %d foreign certificates; want %v %%, 0 and 0; %v", name, kind, 100*r.rate(), r.wrong, r.foreign, 100*least, r.failed)
		}
	}
	if n := w.lab.DirectHits(); n != 0 {
		t.Errorf("%s: %d direct connections", name, n)
	}
	return plain, secure
}

// dieAndAppear replaces a fifth of the healthy upstreams again and again.
func (w *world) dieAndAppear(ctx context.Context, t *testing.T) {
	tick := time.NewTicker(w.size.every)
	defer tick.Stop()
	for n := 0; ; n++ {
		var healthy []proxy.Endpoint
		for _, x := range w.lab.Truth() {
			if x.Behaviour == lab.Healthy {
				healthy = append(healthy, x.Endpoint)
			}
		}
		rand.Shuffle(len(healthy), func(i, j int) { healthy[i], healthy[j] = healthy[j], healthy[i] })
		for i, ep := range healthy[:(len(healthy)+4)/5] {
			as := []lab.Behaviour{lab.Silent, lab.Silent, lab.Silent, lab.Refused, lab.Garbage}[(n+i)%5]
			_ = w.lab.Switch(ep, as)
			if _, err := w.lab.Add(lab.Upstream{Protocol: ep.Protocol, Latency: 300 * time.Millisecond, Spread: 0.35}); err != nil {
				t.Error(err)
			}
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// failures shows what was tried for the requests that failed lately.
func (w *world) failures(t *testing.T) {
	_, body := w.get(t, "/api/requests?limit=1000")
	var page struct{ Items []json.RawMessage }
	_ = json.Unmarshal(body, &page)
	shown := 0
	for _, raw := range page.Items {
		var x struct {
			Code     string
			Attempts []struct{ Class string }
		}
		_ = json.Unmarshal(raw, &x)
		if last := len(x.Attempts) - 1; x.Code != "" || last >= 0 && x.Attempts[last].Class != "ok" && x.Attempts[last].Class != "canceled" {
			if shown++; shown <= 30 {
				t.Logf("%s", raw)
			}
		}
	}
}

// TestWorld: over a list of which 15 % work, nearly every answer is the right
// one and none is wrong, about as fast as through a good upstream; also while
// upstreams die and others appear.
func TestWorld(t *testing.T) {
	size := worldScale()
	began := time.Now()
	w := newWorld(t, size)
	w.checked(t)
	t.Logf("checked after %v", time.Since(began).Round(time.Millisecond))
	base := w.direct(t)
	w.both(t, "warm-up", size.warm, 0)
	plain, secure := w.both(t, "steady", size.steady, size.rightWarm)
	for kind, r := range map[string]*tally{"http": plain, "https": secure} {
		d := base[kind].p95()
		t.Logf("%s: p95 %v, direct %v", kind, r.p95().Round(time.Millisecond), d.Round(time.Millisecond))
		if size.timed && r.p95() > 2*d {
			t.Errorf("%s: p95 %v through the gateway, %v directly", kind, r.p95(), d)
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); w.dieAndAppear(ctx, t) }()
	w.both(t, "churn", size.churn, size.rightDead)
	cancel()
	<-done
	if t.Failed() {
		w.failures(t)
	}
}
