//go:build linux

package e2e_test

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"

	"freeway/internal/loopback"
)

// restartUnder ends the server and starts it again by a shell line that ends in
// exec "$0" "$@".
func (s *server) restartUnder(t *testing.T, line string) {
	t.Helper()
	s.signal(syscall.SIGTERM)
	if code := s.exitCode(t); code != 0 {
		t.Fatalf("exit code %d", code)
	}
	s.process = start(t, "/bin/sh", "-c", line, binary, "serve", "--config", s.dir+"/freeway.yaml")
	s.waitUp(t)
}

// metric returns the value of a sample in /metrics, -1 when it is not there.
func (s *server) metric(t *testing.T, sample string) float64 {
	t.Helper()
	_, text := s.get(t, "/metrics")
	for line := range strings.Lines(string(text)) {
		if v, ok := strings.CutPrefix(strings.TrimSpace(line), sample+" "); ok {
			f, err := strconv.ParseFloat(v, 64)
			if err != nil {
				t.Fatalf("%s: %v", line, err)
			}
			return f
		}
	}
	return -1
}

// TestThreat97Shares: with few descriptors every part keeps to its own: clients
// that take all places, and a crowd at the admin listener, leave the
// other parts what they need, and no descriptor is ever missing.
func TestThreat97Shares(t *testing.T) {
	t.Parallel()
	b := newBench(t, "", "")
	b.restartUnder(t, `ulimit -n 256; exec "$0" "$@"`)
	eventually(t, "upstreams are live", func() bool { return b.total(t, "state=live") > 0 })
	d := net.Dialer{Control: loopback.Control, Timeout: patience}
	for range 100 {
		c, err := d.Dial("tcp", b.admin)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
	}
	target := strings.TrimPrefix(b.tls, "https://")
	granted, refused := 0, 0
	for range 120 {
		c := b.dialGateway(t)
		fmt.Fprintf(c, "CONNECT %s HTTP/1.1\r\nHost: x\r\n\r\n", target)
		resp, err := http.ReadResponse(bufio.NewReader(c), nil)
		switch {
		case err == nil && resp.StatusCode == http.StatusOK:
			granted++
		case err != nil || resp.StatusCode == http.StatusServiceUnavailable && resp.Header.Get("Freeway-Error") == "overload":
			refused++ // beyond those that are told so connections are closed
		default:
			t.Fatalf("CONNECT: %v %v", resp, err)
		}
	}
	most := int(b.metric(t, "freeway_gateway_max_connections"))
	if granted < most/2 || granted > most+most/4 || refused == 0 {
		t.Errorf("%d tunnels were granted and %d refused, the share is %d", granted, refused, most)
	}
	if status, body := b.get(t, "/livez"); status != http.StatusOK {
		t.Errorf("/livez says %d: %s", status, body)
	}
	before := b.metric(t, "freeway_check_dials_total")
	resp, err := b.client.Post("http://"+b.admin+"/api/sources/lab/run", "", nil)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Errorf("reading a list: %v %v", resp, err)
	} else {
		resp.Body.Close()
	}
	resp, err = b.client.Post("http://"+b.admin+"/api/proxies/"+b.first(t)+"/check", "", nil)
	if err != nil || resp.StatusCode != http.StatusAccepted {
		t.Errorf("a check: %v %v", resp, err)
	} else {
		resp.Body.Close()
	}
	eventually(t, "the check connects", func() bool { return b.metric(t, "freeway_check_dials_total") > before })
	if n := b.metric(t, "freeway_gateway_accept_errors_total"); n != 0 {
		t.Errorf("%v accepts failed", n)
	}
	if open, limit := b.metric(t, "process_open_fds"), b.metric(t, "process_max_fds"); limit != 256 || open > limit-16 {
		t.Errorf("%v of %v descriptors are in use", open, limit)
	}
	if strings.Contains(b.out.String(), "too many open files") {
		t.Error("a descriptor was missing")
	}
}

// first returns the id of a live proxy.
func (s *server) first(t *testing.T) string {
	t.Helper()
	_, body := s.get(t, "/api/proxies?state=live&limit=1")
	_, rest, _ := strings.Cut(string(body), `"id":"`)
	id, _, _ := strings.Cut(rest, `"`)
	return url.PathEscape(id)
}

// TestThreat102Memory: near the memory limit new requests are told to come back,
// those that run go on to their end, and afterwards all is as before.
func TestThreat102Memory(t *testing.T) {
	t.Parallel()
	const size, most = 200 << 10, 600
	b := newBench(t, ", retry: {methods: [GET, POST]}", "") // bodies of POST are held in memory
	release := make(chan struct{})
	target := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n, _ := io.Copy(io.Discard, r.Body)
		if r.Method == http.MethodPost {
			<-release
		}
		fmt.Fprint(w, n)
	}))
	defer target.Close()
	b.restartUnder(t, `GOMEMLIMIT=64MiB exec "$0" "$@"`)
	eventually(t, "upstreams are live", func() bool { return b.total(t, "state=live") > 0 })
	ask := func(c net.Conn, method string, body []byte) (int, string, string) {
		fmt.Fprintf(c, "%s %s/ HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: %d\r\n\r\n", method, target.URL, len(body))
		c.Write(body) //nolint:errcheck // the answer tells
		resp, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil {
			return 0, err.Error(), ""
		}
		defer resp.Body.Close()
		text, _ := io.ReadAll(resp.Body)
		return resp.StatusCode, string(text), resp.Header.Get("Freeway-Error") + " " + resp.Header.Get("Retry-After")
	}
	var wg sync.WaitGroup
	var mu sync.Mutex // protects the field below
	ends := map[string]int{}
	body := bytes.Repeat([]byte("x"), size)
	shed := false
	for n := 0; n < most && !shed; n++ {
		c := b.dialGateway(t)
		wg.Go(func() {
			status, text, code := ask(c, http.MethodPost, body)
			switch status {
			case http.StatusOK:
				code = "whole: " + strconv.FormatBool(text == strconv.Itoa(size))
			case 0:
				code = text
			}
			mu.Lock()
			defer mu.Unlock()
			ends[strconv.Itoa(status)+" "+code]++
		})
		if n%10 == 9 {
			status, _, code := ask(b.dialGateway(t), http.MethodGet, nil)
			shed = status == http.StatusServiceUnavailable && code == "overload 1"
		}
	}
	if !shed {
		t.Errorf("%d bodies of %d bytes in 64 MiB, and no request is refused", most, size)
	}
	if status, _ := b.get(t, "/livez"); status != http.StatusOK {
		t.Errorf("/livez says %d", status)
	}
	close(release)
	wg.Wait()
	for end, n := range ends {
		if strings.HasPrefix(end, "200 whole: false") || strings.HasPrefix(end, "0 ") || strings.HasPrefix(end, "5") && end != "503 overload 1" {
			t.Errorf("%d requests ended with %s", n, end)
		}
	}
	if ends["200 whole: true"] < 50 {
		t.Errorf("the requests ended so: %v", ends)
	}
	eventually(t, "requests are served again", func() bool {
		status, _, _ := ask(b.dialGateway(t), http.MethodGet, nil)
		return status == http.StatusOK
	})
	select {
	case <-b.done:
		t.Error("the server ended")
	default:
	}
}
