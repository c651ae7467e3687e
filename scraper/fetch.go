package scraper

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"freeway/proxy"
)

const (
	maxRedirects = 3
	maxHead      = 64 << 10       // bytes of an answer's header; net/http would take 10 MiB
	maxHold      = 24 * time.Hour // the longest Retry-After that is believed
	idleConn     = 30 * time.Second
)

// The errors of this file are plain text for the source's Result. Where a
// server's words come into them they are quoted or escaped by plain.

// control is a net.Dialer.Control.
type control func(network, address string, c syscall.RawConn) error

// web makes the requests of a Scraper. It follows redirects itself, because
// every hop is checked, and it never uses a proxy that the environment names.
type web struct {
	policy proxy.AddrPolicy
	agent  string
	now    func() time.Time
	hosts  *hosts

	first http.RoundTripper // for addresses that the operator wrote
	hop   http.RoundTripper // for addresses that a server wrote; each dial asks policy
	via   http.RoundTripper // through the pool; nil when there is none
}

// newWeb makes the transports. What a server redirects to is checked against
// the policy when its final address is known, so a name that resolves to this
// machine or network does not get through. Through the pool names are resolved
// by the upstream, far from this network.
func newWeb(env Env, now func() time.Time) *web {
	w := &web{policy: env.Policy, agent: env.UserAgent, now: now, hosts: newHosts(now)}
	if w.agent == "" {
		w.agent = "freeway/dev (+proxy list reader)"
	}
	w.first = transport(direct(env.Control))
	w.hop = transport(direct(func(network, address string, c syscall.RawConn) error {
		ap, err := netip.ParseAddrPort(address)
		if err != nil {
			return fmt.Errorf("dial %q: not an address", clip(address, 80))
		}
		if err := w.policy.Check(ap.Addr()); err != nil {
			return fmt.Errorf("%w: redirected to a forbidden address: %w", errRefused, err)
		}
		if env.Control != nil {
			return env.Control(network, address, c)
		}
		return nil
	}))
	if env.Via != nil {
		w.via = transport(env.Via)
	}
	return w
}

// direct dials without anybody in between and asks before each connection.
func direct(ask control) func(ctx context.Context, network, addr string) (net.Conn, error) {
	return (&net.Dialer{Control: ask}).DialContext
}

// transport makes a client side of HTTP over dial. It keeps at most one idle
// connection per host, because only one is ever used.
func transport(dial func(ctx context.Context, network, addr string) (net.Conn, error)) *http.Transport {
	return &http.Transport{
		Proxy:                  nil,
		DialContext:            dial,
		ForceAttemptHTTP2:      true,
		DisableCompression:     true, // decode does it, and counts
		MaxIdleConnsPerHost:    1,
		IdleConnTimeout:        idleConn,
		MaxResponseHeaderBytes: maxHead,
	}
}

// closeIdle closes the connections that wait for another request.
func (w *web) closeIdle() {
	for _, t := range []http.RoundTripper{w.first, w.hop, w.via} {
		if c, ok := t.(interface{ CloseIdleConnections() }); ok {
			c.CloseIdleConnections()
		}
	}
}

// request is one list to be fetched.
type request struct {
	url            string
	method, body   string            // body: of a POST, for url's own host only
	via            bool              // through the pool
	header         map[string]string // of the source; for url's own host only
	etag, modified string            // of the copy at hand, "" for none
	timeout        time.Duration     // for all hops and the body; waiting for a turn does not count
	left           time.Duration     // of timeout
	limit          proxy.Size        // of the decoded body
	slots          chan struct{}     // room for one token per request under way
	cost           *cost             // what is spent is added to it
}

// cost is what fetching a list takes of the network. It belongs to the
// goroutine that reads the list.
type cost struct {
	requests int
	received int64 // bytes of bodies, as they came
}

// metered counts the bytes of a body.
type metered struct {
	r io.Reader
	n *int64
}

// Read implements io.Reader.
func (m metered) Read(p []byte) (int, error) {
	n, err := m.r.Read(p)
	*m.n += int64(n)
	return n, err
}

// answer is what a request came to. Its owner calls close.
type answer struct {
	status  int
	header  http.Header
	body    *capped // decoded
	ctx     context.Context
	close   func()
	timeout time.Duration
}

// statusError is an answer that holds no list.
type statusError struct {
	status int
	retry  time.Duration // Retry-After; 0: none
}

// Error implements error.
func (e *statusError) Error() string {
	text := fmt.Sprintf("the server answered %d %s", e.status, http.StatusText(e.status))
	if e.retry > 0 {
		text += fmt.Sprintf(" and asks to wait %v", e.retry)
	}
	return strings.TrimSuffix(text, " ")
}

// errRefused is in errors that a further try will not change.
var errRefused = errors.New("refused")

// get asks for q and follows redirects. The answer has status 200, 204 or 304.
func (w *web) get(ctx context.Context, q request) (*answer, error) {
	own, err := url.Parse(q.url)
	if err != nil {
		return nil, errors.New("unreadable url") // the parser's error would print it
	}
	if q.via && w.via == nil {
		return nil, errNoPool
	}
	u := own
	for hop := 0; ; hop++ {
		resp, done, err := w.once(ctx, &q, own, u, hop > 0)
		if err != nil {
			return nil, err
		}
		if !isRedirect(resp.StatusCode) {
			return w.accept(q, u, resp, done)
		}
		next, err := w.follow(u, resp.Header.Get("Location"))
		done()
		if err == nil {
			err = q.redirected(resp.StatusCode, own, next)
		}
		if err != nil {
			return nil, err
		}
		if hop == maxRedirects {
			return nil, fmt.Errorf("%w: more than %d redirects", errRefused, maxRedirects)
		}
		u = next
	}
}

// isRedirect reports whether a status says that the list is elsewhere (RFC 9110
// section 15.4). 300 and 305 say so, too, but not where, or something unsafe.
func isRedirect(status int) bool {
	switch status {
	case http.StatusMovedPermanently, http.StatusFound, http.StatusSeeOther, http.StatusTemporaryRedirect, http.StatusPermanentRedirect:
		return true
	}
	return false
}

// redirected does to the method what RFC 9110 section 15.4 says: after 301, 302
// and 303 a POST becomes a GET. 307 and 308 repeat it, but a body is for the
// list's own server alone.
func (q *request) redirected(status int, own, to *url.URL) error {
	if q.method != http.MethodPost {
		return nil
	}
	if status != http.StatusTemporaryRedirect && status != http.StatusPermanentRedirect {
		q.method, q.body = http.MethodGet, ""
		return nil
	}
	if to.Scheme != own.Scheme || to.Host != own.Host {
		return fmt.Errorf("%w: redirected to another server, which would get the body", errRefused)
	}
	return nil
}

// follow resolves a Location and refuses what policy forbids and what is not
// HTTP. Names are only checked for what they always mean; where they lead to is
// checked when they are dialled.
func (w *web) follow(from *url.URL, location string) (*url.URL, error) {
	u, err := from.Parse(location)
	if err != nil || location == "" {
		return nil, fmt.Errorf("%w: redirected to nowhere", errRefused)
	}
	if u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" {
		return nil, fmt.Errorf("%w: redirected to %q, which is not http or https", errRefused, clip(redactURL(u.String()), 120))
	}
	if err := w.policy.CheckHost(u.Hostname()); err != nil {
		return nil, fmt.Errorf("%w: redirected to a forbidden address: %w", errRefused, err)
	}
	u.User = nil // a login that a server invents is not sent
	return u, nil
}

// once makes one request to u: it waits for the host's turn and for a slot,
// sends, and takes the time from what q has left. After an answer the caller
// calls done, which gives back turn and slot. Nobody ever waits for a turn
// while holding a slot, so two sources cannot block each other.
func (w *web) once(ctx context.Context, q *request, own, u *url.URL, hop bool) (_ *http.Response, done func(), err error) {
	leave, err := w.hosts.enter(ctx, u.Host)
	if err != nil {
		return nil, nil, err
	}
	select {
	case q.slots <- struct{}{}:
	case <-ctx.Done():
		leave(nil)
		return nil, nil, ctx.Err()
	}
	began := time.Now()
	timed, cancel := context.WithTimeout(ctx, q.left)
	var reached atomic.Bool
	end := func(unreached error) {
		cancel()
		<-q.slots
		leave(unreached)
	}
	trace := httptrace.WithClientTrace(timed, &httptrace.ClientTrace{GotConn: func(httptrace.GotConnInfo) { reached.Store(true) }})
	resp, err := w.send(trace, *q, own, u, hop)
	q.left -= time.Since(began)
	if err == nil {
		return resp, func() { resp.Body.Close(); end(nil) }, nil
	}
	err = explain(timed, err, q.timeout)
	if reached.Load() || q.via || ctx.Err() != nil { // an upstream that fails is not the host's fault
		end(nil)
	} else {
		end(err)
	}
	return nil, nil, err
}

// send builds the request of one hop and gives it to its transport. What the
// operator gave for the list's own server (headers, a login in the address) is
// sent to that server alone, and not without TLS when the address had it.
func (w *web) send(ctx context.Context, q request, own, u *url.URL, hop bool) (*http.Response, error) {
	r, err := http.NewRequestWithContext(ctx, q.method, u.String(), strings.NewReader(q.body)) // an empty one is none
	if err != nil {
		return nil, errors.New("unreadable url")
	}
	if q.method == http.MethodPost {
		r.Header.Set("Content-Type", bodyType(q.body))
	}
	r.Header.Set("User-Agent", w.agent)
	r.Header.Set("Accept", "*/*")
	if u.Scheme == own.Scheme && u.Host == own.Host {
		for k, v := range q.header {
			r.Header.Set(k, v)
		}
		if host := r.Header.Get("Host"); host != "" {
			r.Host = host
		}
		if pass, ok := own.User.Password(); own.User != nil && (ok || own.User.Username() != "") {
			r.SetBasicAuth(own.User.Username(), pass)
		}
	}
	r.Header.Set("Accept-Encoding", acceptEncoding)
	if q.etag != "" {
		r.Header.Set("If-None-Match", q.etag)
	}
	if q.modified != "" {
		r.Header.Set("If-Modified-Since", q.modified)
	}
	q.cost.requests++
	return w.way(q.via, hop).RoundTrip(r)
}

// errNoPool is in the error of a source that is to be fetched through the pool
// where there is none. It is never fetched directly instead.
var errNoPool = fmt.Errorf("%w: via: pool, but there is no pool to fetch through", errRefused)

// way returns what carries a request.
func (w *web) way(via, hop bool) http.RoundTripper {
	switch {
	case via:
		return w.via
	case hop:
		return w.hop
	}
	return w.first
}

// explain says what an error behind the deadline means; others pass.
func explain(ctx context.Context, err error, timeout time.Duration) error {
	if err == nil || errors.Is(err, errTooLarge) || !errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return err
	}
	return fmt.Errorf("not finished within %v: %w", timeout, context.DeadlineExceeded)
}

// accept sorts the last answer: a list, nothing new, or an error. Only 200 holds
// a whole list: 206 is a part, and error pages hold addresses, too.
func (w *web) accept(q request, u *url.URL, resp *http.Response, done func()) (*answer, error) {
	conditional := q.etag != "" || q.modified != ""
	switch {
	case resp.StatusCode == http.StatusOK, resp.StatusCode == http.StatusNoContent,
		resp.StatusCode == http.StatusNotModified && conditional:
	default:
		done()
		retry := retryAfter(resp.Header.Get("Retry-After"), w.now())
		if resp.StatusCode == http.StatusTooManyRequests && retry > 0 {
			w.hosts.hold(u.Host, w.now().Add(retry))
		}
		return nil, &statusError{status: resp.StatusCode, retry: retry}
	}
	body, err := decode(metered{resp.Body, &q.cost.received}, resp.Header.Get("Content-Encoding"), q.limit)
	if err != nil {
		err = explain(resp.Request.Context(), err, q.timeout)
		done()
		return nil, err
	}
	return &answer{status: resp.StatusCode, header: resp.Header, body: body, ctx: resp.Request.Context(), close: done, timeout: q.timeout}, nil
}

// retryAfter reads the seconds or the date of a Retry-After header (RFC 9110
// section 10.2.3), 0 when there is none.
func retryAfter(text string, now time.Time) time.Duration {
	if text = strings.TrimSpace(text); text == "" {
		return 0
	}
	n, err := strconv.ParseUint(text, 10, 31)
	switch {
	case err == nil:
		return min(time.Duration(n)*time.Second, maxHold)
	case errors.Is(err, strconv.ErrRange): // digits, only too many
		return maxHold
	}
	at, err := http.ParseTime(text)
	if err != nil {
		return 0
	}
	return min(max(at.Sub(now), 0), maxHold).Round(time.Second)
}

// validator returns an ETag or Last-Modified that can be sent back later, "" when
// it is odd: the transport would refuse to send it, and the source would fail
// for ever.
func validator(text string) string {
	const longest = 256
	for i := range len(text) {
		if text[i] < ' ' || text[i] > '~' {
			return ""
		}
	}
	if len(text) > longest {
		return ""
	}
	return text
}
