package e2e_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"freeway/internal/loopback"
	"freeway/lab"
)

// demo is a running `freeway demo`, as its output describes it.
type demo struct {
	*process
	gateway, api, truth string
	curls               [][]string // the lines to paste, as words
	ca                  string
	client              *http.Client // for API and truth
}

func startDemo(t *testing.T, args ...string) *demo {
	t.Helper()
	d := &demo{client: &http.Client{Timeout: patience, Transport: &http.Transport{DialContext: (&net.Dialer{Control: loopback.Guard(t)}).DialContext, DisableKeepAlives: true}}}
	d.process = start(t, binary, append([]string{"demo", "--gateway.listen", "127.0.0.1:0", "--admin.listen", "127.0.0.1:0"}, args...)...)
	eventually(t, "the demo says that it is ready", func() bool { return strings.Contains(d.out.String(), "Ctrl-C ends it") })
	lines := bufio.NewScanner(strings.NewReader(d.out.String()))
	for lines.Scan() {
		words := strings.Fields(lines.Text())
		if len(words) < 2 {
			continue
		}
		switch words[0] {
		case "gateway":
			d.gateway = words[1]
		case "API":
			d.api = strings.TrimSuffix(words[1], "/api/proxies")
		case "truth":
			d.truth = words[1]
		case "curl":
			d.curls = append(d.curls, words)
			for i, w := range words {
				if w == "--cacert" {
					d.ca = words[i+1]
				}
			}
		}
	}
	if d.gateway == "" || d.api == "" || d.truth == "" || d.ca == "" || len(d.curls) != 2 {
		t.Fatalf("the demo does not say where everything is:\n%s", d.out.String())
	}
	return d
}

func (d *demo) read(t *testing.T, url string, v any) {
	t.Helper()
	resp, err := d.client.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if err := json.NewDecoder(resp.Body).Decode(v); err != nil {
		t.Fatalf("GET %s: %v", url, err)
	}
}

// states returns the state of every endpoint by its URL.
func (d *demo) states(t *testing.T) map[string]string {
	t.Helper()
	resp, err := d.client.Get(d.api + "/api/proxies?format=ndjson")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	out := map[string]string{}
	for dec := json.NewDecoder(resp.Body); ; {
		var p struct{ URL, State string }
		if err := dec.Decode(&p); err == io.EOF {
			return out
		} else if err != nil {
			t.Fatal(err)
		}
		out[p.URL] = p.State
	}
}

const demoRecheck = 10 * time.Second // how often the demo checks live proxies again

// found compares the pool with the truth: how many upstreams have been up for
// one re-check interval, how many of these are live, and which interceptors are live.
func (d *demo) found(t *testing.T) (up, live int, bad []string) {
	t.Helper()
	var truth []lab.Truth
	d.read(t, d.truth, &truth)
	states := d.states(t)
	for _, e := range truth {
		state := states[e.Endpoint.String()]
		if e.Up && time.Since(e.UpSince) > demoRecheck {
			up++
			if state == "live" {
				live++
			}
		}
		if e.Tampers == "tls" && state == "live" {
			bad = append(bad, e.Endpoint.String())
		}
	}
	return up, live, bad
}

// TestDemo is what a newcomer does: start it, paste the lines, use it.
func TestDemo(t *testing.T) {
	t.Parallel()
	need(t, "curl")
	upstreams, requests, exits := 300, 60, 15
	if os.Getenv("FREEWAY_DEMO_FULL") != "" {
		upstreams, requests, exits = 600, 300, 20
	}
	began := time.Now()
	d := startDemo(t, "--upstreams", fmt.Sprint(upstreams))
	for _, words := range d.curls {
		out, err := exec.Command(words[0], append([]string{"-sSf", "--noproxy", ""}, words[1:]...)...).CombinedOutput()
		if err != nil || !strings.Contains(string(out), "127.") {
			t.Errorf("%s: %v\n%s", strings.Join(words, " "), err, out)
		}
	}
	var up, live int
	var bad []string
	eventually(t, "90 % of what is up is live, and nothing that opens TLS", func() bool {
		up, live, bad = d.found(t)
		return up > 0 && live*10 >= up*9 && len(bad) == 0
	})
	t.Logf("%.0f s after the start %d of %d upstreams that are up are live", time.Since(began).Seconds(), live, up)
	right, seen := d.useIt(t, requests)
	t.Logf("%d of %d requests returned the right bytes, over %d exits", right, requests, len(seen))
	if most := max(1, requests/100); requests-right > most {
		t.Errorf("%d of %d requests did not return the right bytes, at most %d may", requests-right, requests, most)
	}
	if len(seen) < exits {
		t.Errorf("%d exits, want %d", len(seen), exits)
	}
	if _, _, bad := d.found(t); len(bad) > 0 {
		t.Errorf("live although they open TLS: %v", bad)
	}
	d.signal(syscall.SIGINT)
	if code := d.exitCode(t); code != 0 {
		t.Errorf("exit code %d after Ctrl-C, want 0", code)
	}
}

// useIt sends requests over http, https and SOCKS5 in turn and counts those
// that return exactly the right bytes, and the exits that they left from.
func (d *demo) useIt(t *testing.T, n int) (right int, exits map[string]bool) {
	t.Helper()
	pem, err := os.ReadFile(d.ca)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	exits = map[string]bool{}
	gw, _ := url.Parse(d.gateway)
	clients := []struct{ via, base string }{
		{"http://" + gw.Host, "http://www.lab.test"}, {"http://" + gw.Host, "https://www.lab.test"}, {"socks5h://" + gw.Host, "https://www.lab.test"},
	}
	for i := range n {
		c := clients[i%len(clients)]
		via, _ := url.Parse(c.via)
		client := &http.Client{Timeout: patience, Transport: &http.Transport{Proxy: http.ProxyURL(via), TLSClientConfig: &tls.Config{RootCAs: roots},
			DialContext: (&net.Dialer{Control: loopback.Guard(t)}).DialContext, DisableKeepAlives: true}}
		size := 1000 + 37*i
		body, err := fetch(t.Context(), client, fmt.Sprintf("%s/bytes/%d?seed=s%d", c.base, size, i))
		if err == nil && bytes.Equal(body, lab.Bytes(size, fmt.Sprintf("s%d", i))) {
			right++
		} else {
			t.Logf("request %d over %s to %s: %d bytes, %v", i, c.via, c.base, len(body), err)
		}
		if ip, err := fetch(t.Context(), client, c.base+"/ip"); err == nil {
			exits[strings.TrimSpace(string(ip))] = true
		}
	}
	return right, exits
}

func fetch(ctx context.Context, c *http.Client, url string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	resp, err := c.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("status %d", resp.StatusCode)
	}
	return body, err
}
