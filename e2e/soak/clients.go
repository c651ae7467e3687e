package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"freeway/lab"
)

// kind is one way to use the server. Of 100 clients share are of this kind.
type kind struct {
	name  string
	share int
	slow  float64 // how many times as long as others it waits between requests
	use   func(c *client, ctx context.Context) error
	proxy func(s *bench, id int) *url.URL // nil: it talks to the admin listener
}

// keep is how many requests a connection is kept for: as many as make about the same time for all.
func (k kind) keep() int {
	if k.slow > 5 {
		return 2
	}
	return 10
}

// controlKind are the clients that go through an upstream without the gateway:
// what they need longer in the end, the machine does.
const controlKind = "control"

// timed are the kinds whose requests are one exchange with the target.
var timed = map[string]bool{"get": true, "post": true, "connect": true, "socks": true, "tls": true}

// kinds are all of them.
func kinds() []kind {
	plain := func(s *bench, _ int) *url.URL { return &url.URL{Scheme: "http", Host: s.gateway} }
	return []kind{
		{"get", 30, 1, (*client).fetch, plain},
		{"post", 8, 1, (*client).post, plain},
		{"connect", 20, 1, (*client).fetch, plain},
		{"socks", 10, 1, (*client).fetch, func(s *bench, _ int) *url.URL {
			return &url.URL{Scheme: "socks5", Host: s.gateway, User: url.UserPassword("soak", "soak")}
		}},
		{"session", 8, 1, (*client).session, (*bench).sessionProxy},
		{"tls", 8, 1, (*client).fetch, func(s *bench, _ int) *url.URL { return &url.URL{Scheme: "https", Host: s.secure} }},
		{"idle", 8, 15, (*client).fetch, plain},
		{"cut", 4, .5, (*client).cut, plain},
		{"events", 2, 1, (*client).events, nil},
		{"pages", 2, 1, (*client).pages, nil},
	}
}

// sessionProxy has a session in the user name that is replaced before its time is over.
func (s *bench) sessionProxy(id int) *url.URL {
	name := fmt.Sprintf("soak-session-s%dx%d-ttl-2", id, time.Since(s.tally.began)/(90*time.Second))
	return &url.URL{Scheme: "http", Host: s.gateway, User: url.UserPassword(name, "soak")}
}

// client is one of them.
type client struct {
	*bench
	kind kind
	id   int
	http *http.Client
	tr   *http.Transport
	uses int
	user string // of the session
	exit string // of the session
}

// newClient makes a client with connections of its own.
func (s *bench) newClient(k kind, id int) *client {
	c := &client{bench: s, kind: k, id: id}
	roots := s.certs.pool.Clone()
	roots.AppendCertsFromPEM([]byte(s.info.CA))
	c.tr = &http.Transport{
		DialContext: dialer().DialContext, DisableCompression: true, TLSClientConfig: &tls.Config{RootCAs: roots}, MaxConnsPerHost: 1,
		DisableKeepAlives: k.name == "session",
	}
	if k.proxy != nil {
		c.tr.Proxy = func(*http.Request) (*url.URL, error) { return k.proxy(s, id), nil }
	}
	c.http = &http.Client{Transport: c.tr, Timeout: 40 * time.Second}
	return c
}

// crowd runs all clients until ctx ends.
func (s *bench) crowd(ctx context.Context) {
	var all []*client
	for _, k := range kinds() {
		for range max(1, s.o.connections*k.share/100) {
			all = append(all, s.newClient(k, len(all)))
		}
	}
	pace := time.Duration(float64(len(all)) / s.o.rate * float64(time.Second))
	for i, at := range s.info.Steady {
		k := kind{name: controlKind, slow: 1, use: (*client).fetch, proxy: func(*bench, int) *url.URL { return &url.URL{Scheme: "http", Host: at} }}
		c := s.newClient(k, i*2) // over plain HTTP and over TLS in turn
		c.kind.slow = float64(len(s.info.Steady)) / (s.o.rate / 20) / pace.Seconds()
		all = append(all, c)
	}
	var wg sync.WaitGroup
	for _, c := range all {
		wg.Go(func() { c.run(ctx, pace) })
	}
	wg.Wait()
}

// run uses the server again and again, at moments of its own.
func (c *client) run(ctx context.Context, pace time.Duration) {
	defer c.tr.CloseIdleConnections()
	for first := true; ; first = false {
		wait := time.Duration(float64(pace) * c.kind.slow * (.5 + rand.Float64()))
		if first {
			wait = time.Duration(float64(pace) * rand.Float64())
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		}
		c.calm.wait(ctx)
		if c.uses++; c.uses%c.kind.keep() == 0 {
			c.tr.CloseIdleConnections()
		}
		began := time.Now()
		err := c.kind.use(c, ctx)
		if ctx.Err() != nil {
			return // cut by the end of the load
		}
		c.tally.add(c.kind.name, began, err)
	}
}

// base is the target: by half plain and by half in TLS, or as the kind says.
func (c *client) base() string {
	switch c.kind.name {
	case "get", "post":
		return c.info.HTTP
	case "connect", "idle", "session":
		return c.info.HTTPS
	}
	if (c.id+c.uses/10)%2 == 0 {
		return c.info.HTTP
	}
	return c.info.HTTPS
}

// fetch gets some bytes and compares each.
func (c *client) fetch(ctx context.Context) error {
	n, seed := 1+rand.IntN(20_000), fmt.Sprint(rand.Uint64())
	chunked := ""
	if n%4 == 0 {
		chunked = "&chunked=1"
	}
	body, err := c.ask(ctx, http.MethodGet, fmt.Sprintf("%s/bytes/%d?seed=%s%s", c.base(), n, seed, chunked), nil)
	if err == nil && !bytes.Equal(body, lab.Bytes(n, seed)) {
		return fmt.Errorf("%w: %d bytes of %d, or others", errWrong, len(body), n)
	}
	return err
}

// post sends a body that comes back; the target counts those that come twice.
func (c *client) post(ctx context.Context) error {
	id := fmt.Sprint(rand.Uint64())
	want := lab.Bytes(1+rand.IntN(10_000), id)
	body, err := c.ask(ctx, http.MethodPost, c.base()+"/echo?id="+id, want)
	if err == nil && !bytes.Equal(body, want) {
		return fmt.Errorf("%w: %d bytes of %d, or others", errWrong, len(body), len(want))
	}
	return err
}

// session asks which exit it has: always the same one, unless it was told that it is lost.
func (c *client) session(ctx context.Context) error {
	user := c.kind.proxy(c.bench, c.id).User.Username()
	if user != c.user {
		c.user, c.exit = user, ""
	}
	body, err := c.ask(ctx, http.MethodGet, c.base()+"/ip", nil)
	if err != nil {
		c.exit = "" // lost, or not known whether it is
		return err
	}
	was, now := c.exit, strings.TrimSpace(string(body))
	if c.exit = now; was != "" && now != was && c.kind.proxy(c.bench, c.id).User.Username() == user {
		return fmt.Errorf("%w: %s", errMoved, user)
	}
	return nil
}

// ask sends a request and returns a whole answer of the target. Anything that
// is neither that nor a failure is wrong.
func (c *client) ask(ctx context.Context, method, target string, body []byte) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, method, target, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	resp, err := c.http.Do(req)
	if err != nil {
		var unknown x509.UnknownAuthorityError
		if errors.As(err, &unknown) {
			return nil, fmt.Errorf("%w: a certificate of somebody else", errWrong)
		}
		return nil, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	switch code := resp.Header.Get("Freeway-Error"); {
	case code != "":
		return nil, fmt.Errorf("%d %s", resp.StatusCode, code)
	case err != nil:
		return nil, err
	case resp.StatusCode != http.StatusOK:
		return nil, fmt.Errorf("%w: status %d", errWrong, resp.StatusCode)
	}
	return text, nil
}

// openings are what clients begin to say before they are gone.
func (c *client) openings() []string {
	host := strings.TrimPrefix(c.info.HTTP, "http://")
	return []string{
		"GET " + c.info.HTTP + "/bytes/100000?seed=cut HTTP/1.1\r\nHost: " + host + "\r\n\r\n",
		"GET " + c.info.HTTP + "/drip?n=1000&delay=50ms HTTP/1.1\r\nHost: " + host + "\r\n\r\n",
		"GET " + c.info.HTTP + "/slow?delay=3s HTTP/1.1\r\nHost: " + host + "\r\n\r\n",
		"POST " + c.info.HTTP + "/echo HTTP/1.1\r\nHost: " + host + "\r\nContent-Length: 1000000\r\n\r\n" + strings.Repeat("x", 20_000),
		"CONNECT " + host + ":443 HTTP/1.1\r\nHost: " + host + ":443\r\n\r\n\x16\x03\x01",
		"CONNECT " + host + ":80 HTTP/1.1\r\nHost: " + host + ":80\r\n\r\nGET /drip?n=1000&delay=50ms HTTP/1.1\r\nHost: " + host + "\r\n\r\n",
		"\x05\x01\x00\x05\x01\x00\x03\x0cwww.lab.test\x00\x50GET /slow HTTP/1.1\r\nHost: www.lab.test\r\n\r\n",
		"\x04\x01\x00\x50\x00\x00\x00\x01soak\x00www.lab.test\x00",
		"\x16\x03\x01\x02\x00\x01",
	}
}

// cut begins something and is gone at a random moment, by reset or by an end.
func (c *client) cut(ctx context.Context) error {
	at := c.gateway
	if rand.IntN(8) == 0 {
		at = c.secure
	}
	d := dialer()
	d.LocalAddr = &net.TCPAddr{IP: net.IPv4(127, 0, 0, 9)} // some of it looks like guessing passwords, which stops an address
	conn, err := d.DialContext(ctx, "tcp", at)
	if err != nil {
		return err
	}
	defer conn.Close()
	all := c.openings()
	text := all[rand.IntN(len(all))]
	if rand.IntN(3) == 0 {
		text = text[:rand.IntN(len(text))]
	}
	_ = conn.SetDeadline(time.Now().Add(time.Duration(1+rand.IntN(1500)) * time.Millisecond))
	_, _ = io.WriteString(conn, text)
	_, _ = io.CopyN(io.Discard, conn, int64(rand.IntN(30_000)))
	if t, ok := conn.(*net.TCPConn); ok && rand.IntN(2) == 0 {
		_ = t.SetLinger(0)
	}
	return nil
}

// events watches what happens for a while, and then is gone.
func (c *client) events(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, time.Duration(5+rand.IntN(20))*time.Second)
	defer cancel()
	resp, err := c.fromAdmin(ctx, "/api/events")
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	n, err := io.Copy(io.Discard, resp.Body)
	if n == 0 {
		return fmt.Errorf("no event: %w", err)
	}
	return nil
}

// pages goes through the proxies from the first page to the last.
func (c *client) pages(ctx context.Context) error {
	cursor := ""
	for range 100 {
		resp, err := c.fromAdmin(ctx, "/api/proxies?limit=100&cursor="+url.QueryEscape(cursor))
		if err != nil {
			return err
		}
		next, err := nextPage(resp)
		if err != nil || next == "" {
			return err
		}
		cursor = next
	}
	return errors.New("more than 100 pages")
}
