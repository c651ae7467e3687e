package gateway

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"freeway/internal/http1"
	"freeway/proxy"
)

// outgoing is a plain HTTP request on its way to the target.
type outgoing struct {
	q         *http1.Request // as received, hop-by-hop fields removed, one Host
	authority string         // as the client wrote it
	path      string         // with query; what an origin server is asked for
	framing   http1.Framing
	body      *http1.Body // of the client
	held      []byte      // the body, when whole
	whole     bool        // nothing is left to read from the client
	repeats   bool        // the method may be sent twice
	upgrade   bool        // to WebSocket
	expects   bool        // the client waits for 100 before it sends the body
	written   bool        // bytes of the request went to an upstream
	hinted    bool        // an interim answer went to the client
	given     bool        // bytes of the final answer went to the client
	passed    bool        // all of them did
	bare      bool        // the target had no path
	old       bool        // the client speaks HTTP/1.0
	another   bool        // one more exit was tried because of Retry.OnStatus
	packed    int         // exits that packed the content though nobody asked for that
	broken    *refusal    // set by an upload when the client's body is to blame
	parts     parts
}

// safe reports whether another upstream may be tried.
func (o *outgoing) safe() bool { return !o.hinted && !o.given && (!o.written || o.repeats && o.whole) }

// servePlain serves a request in absolute form.
func (c *client) servePlain(ctx context.Context, s *settings, w *who, q *http1.Request) bool {
	o, t, r := c.newOutgoing(q)
	if r != nil {
		return c.refuseRequest(q, r, bodiless(q))
	}
	x, r := c.enter(ctx, s, w, q.Method, t, true)
	if r == nil {
		r = x.checkPlain(o)
	}
	if r != nil {
		x.end(r)
		return c.answerRefusal(q, r, x.trace.ID, o.whole)
	}
	keep, r := x.plain(ctx, o)
	x.end(r)
	switch {
	case r != nil && !o.given:
		keep = c.answerRefusal(q, r, x.trace.ID, o.whole)
	case o.passed && !keep:
		c.linger()
	}
	recycle(x, o)
	return keep
}

const httpPrefix = "http://"

// newOutgoing takes a request apart. TLS is never opened here, so https and
// what is not a proxy request at all are refused.
func (c *client) newOutgoing(q *http1.Request) (*outgoing, proxy.Target, *refusal) {
	switch {
	case len(q.Target) > len(httpPrefix) && http1.EqualFold(q.Target[:len(httpPrefix)], httpPrefix):
	case q.Target[0] == '/' || q.Target == "*":
		return nil, proxy.Target{}, refusef(codeBadRequest, "this is a proxy; give it to a client as proxy URL")
	default:
		return nil, proxy.Target{}, refusef(codeBadRequest, "only http:// here; https needs CONNECT")
	}
	o := outgoings.Get().(*outgoing)
	o.q, o.authority = q, q.Target[len(httpPrefix):]
	o.authority = authorityOf(o.authority)
	o.path = q.Target[len(httpPrefix)+len(o.authority):]
	if o.bare = o.path == ""; o.bare || o.path[0] == '?' {
		o.path = "/" + o.path
	}
	t, r := c.plainTarget(o.authority)
	if r != nil {
		return nil, t, r
	}
	if o.authority[0] == '[' && t.Addr().Is4() { // the IPv4 inside, as CONNECT and SOCKS have it
		o.authority = t.Host + o.authority[strings.IndexByte(o.authority, ']')+1:]
	}
	return o, t, o.readHead()
}

// authorityOf cuts what follows http:// where the path or the query begins.
func authorityOf(s string) string {
	if i := strings.IndexAny(s, "/?"); i >= 0 {
		return s[:i]
	}
	return s
}

// oneAuthority refuses user information and brackets or colons that readers
// take differently. ParseTarget checks the rest.
func oneAuthority(s string) bool {
	if strings.ContainsAny(s, "@%") {
		return false
	}
	if strings.ContainsAny(s, "[]") {
		end := strings.IndexByte(s, ']')
		return s[0] == '[' && end == strings.LastIndexByte(s, ']') && strings.LastIndexByte(s, '[') == 0 &&
			(end == len(s)-1 || s[end+1] == ':')
	}
	return strings.Count(s, ":") <= 1
}

// readHead settles framing, Expect and Upgrade and cleans the header.
func (o *outgoing) readHead() *refusal {
	q := o.q
	o.framing, _ = q.BodyKind() // checkHead has read it
	o.whole, o.old = bodiless(q), q.Minor == 0
	if expect := q.Header.Get("Expect"); expect != "" && q.Minor > 0 {
		if !http1.EqualFold(expect, "100-continue") {
			return refusef(codeExpectation, "only 100-continue can be expected")
		}
		o.expects = !o.whole
	}
	o.upgrade = o.whole && q.Method == "GET" && q.Minor > 0 && q.Header.HasToken("Connection", "upgrade") &&
		http1.EqualFold(q.Header.Get("Upgrade"), "websocket")
	if q.Method == "TRACE" || q.Method == "OPTIONS" {
		return countForward(&q.Header)
	}
	return nil
}

// countForward counts the request's way through this proxy down in Max-Forwards (RFC 9110
// section 7.6.2). One that may go no further is refused: there is nothing here to trace.
func countForward(h *http1.Header) *refusal {
	const name = "Max-Forwards"
	switch h.Count(name) {
	case 0:
		return nil
	case 1:
	default:
		return refusef(codeBadRequest, name+" is given twice")
	}
	n, err := strconv.ParseUint(h.Get(name), 10, 31)
	switch {
	case errors.Is(err, strconv.ErrRange):
		n = math.MaxInt32
	case err != nil:
		return refusef(codeBadRequest, name+" is no number")
	case n == 0:
		return &refusal{code: codeBadRequest, status: http.StatusNotImplemented, msg: name + " is 0, so the request ends here, and this proxy has no answer of its own"}
	}
	h.Set(name, strconv.FormatUint(n-1, 10))
	return nil
}

// checkPlain applies the rules for what is not encrypted, then prepares the body.
func (x *exchange) checkPlain(o *outgoing) *refusal {
	cfg, c := &x.s.cfg, x.c
	if c.g.loops(o.q.Target) {
		return refuseLoop()
	}
	if cfg.PlainHTTP == refuse && !x.avoidPublic() {
		return refusePlain()
	}
	if cfg.PlaintextCredentials == refuse && o.q.Header.Has("Authorization") && !x.avoidPublic() {
		return refuseCredentials()
	}
	if !o.whole {
		o.body = http1.NewBody(c.r, o.framing)
	}
	if o.upgrade { // it goes through a tunnel, see open
		x.want.Need = x.want.Target.Needs(false)
	}
	o.repeats = slices.Contains(x.retry.Methods, o.q.Method)
	here := o.framing.Kind == http1.Length && o.framing.Length <= int64(c.r.Buffered())
	if !o.whole && (o.repeats || here) {
		if r := x.hold(o); r != nil {
			return r
		}
	}
	o.normalise()
	return nil
}

// normalise cleans the header and gives it one Host and one framing.
func (o *outgoing) normalise() {
	q := o.q
	clean(&q.Header, forProxies)
	if q.Header.Has("Host") {
		q.Header.Set("Host", o.authority)
	} else {
		q.Header = slices.Insert(q.Header, 0, http1.Field{Name: "Host", Value: o.authority})
	}
	switch o.framing.Kind {
	case http1.Chunked:
		q.Header.Set("Transfer-Encoding", "chunked")
	case http1.Length:
		q.Header.Del("Transfer-Encoding")
		q.Header.Set("Content-Length", strconv.FormatInt(o.framing.Length, 10))
	}
	respell(q.Header)
	if o.upgrade {
		q.Header.Add("Connection", "Upgrade")
		q.Header.Add("Upgrade", "websocket")
	}
	q.Minor = 1
}

// respell writes the names of the fields that an upstream must not miss as they are usually
// written, unless they are all in lower case, as some clients write all names.
func respell(h http1.Header) {
	for i := range h {
		for _, name := range [...][2]string{{"Host", "host"}, {"Content-Length", "content-length"}, {"Transfer-Encoding", "transfer-encoding"}} {
			if f := &h[i]; f.Name != name[0] && f.Name != name[1] && http1.EqualFold(f.Name, name[0]) {
				f.Name = name[0]
			}
		}
	}
}

// appendHead appends the head for an upstream: in absolute form with the
// upstream's own credentials, or in origin form through a tunnel.
func (o *outgoing) appendHead(b []byte, forward bool, credentials string) []byte {
	q := *o.q
	switch {
	case !forward && q.Method == "OPTIONS" && o.bare:
		q.Target = "*" // RFC 9112 section 3.2.4
	case !forward:
		q.Target = o.path
	case o.bare && q.Method == "OPTIONS":
		q.Target = "http://" + o.authority
	case len(q.Target) != len(httpPrefix)+len(o.authority)+len(o.path) || !strings.HasPrefix(q.Target, httpPrefix):
		q.Target = httpPrefix + o.authority + o.path
	}
	if credentials != "" {
		q.Header = q.Header.Clone()
		q.Header.Add("Proxy-Authorization", credentials)
	}
	return q.AppendTo(b)
}

// hold reads the body whole when it fits, so that it can be sent again, or
// because it is here already and can go out in one write with the head.
func (x *exchange) hold(o *outgoing) *refusal {
	most := int64(x.retry.BodyBuffer)
	if o.framing.Kind == http1.Length && o.framing.Length > most {
		return nil
	}
	if err := o.proceed(x.c); err != nil {
		return errGone
	}
	var buf bytes.Buffer
	_, err := io.CopyN(&buf, &stallReader{c: x.c, r: o.body, until: x.until}, most+1)
	switch {
	case errors.Is(err, io.EOF):
		o.held, o.whole = buf.Bytes(), true
		o.framing = http1.Framing{Kind: http1.Length, Length: int64(buf.Len())}
		return x.charge(buf.Len())
	case err != nil:
		return bodyRefusal(err)
	default:
		o.held = buf.Bytes() // too large: goes out in front of the rest, once
	}
	return nil
}

// bodyRefusal says what is wrong with a request body that could not be read.
func bodyRefusal(err error) *refusal {
	if broken, ok := errors.AsType[*http1.Error](err); ok {
		return refusef(codeBadRequest, broken.Msg)
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return refusef(codeSlow, "the request body did not come in time")
	}
	return errGone
}

// proceed tells a client that waits for it to send the body.
func (o *outgoing) proceed(c *client) error {
	if !o.expects {
		return nil
	}
	o.expects = false
	return c.write([]byte("HTTP/1.1 100 Continue\r\n\r\n"))
}

// stallReader reads from the client with a deadline for each read, and ends a
// body that comes in drips.
type stallReader struct {
	c     *client
	r     *http1.Body
	stop  *atomic.Bool // once set, reads end at once; nil: never
	until time.Time    // the body must be here by then; zero: no such limit

	since time.Time // when the present stallTime began
	n     int       // bytes that came in it
}

// Read implements io.Reader. A read that need not wait for the client sets no deadline.
func (s *stallReader) Read(p []byte) (int, error) {
	if s.r.Waits() {
		now := time.Now()
		if s.dripping(now) {
			return 0, os.ErrDeadlineExceeded
		}
		limit := now.Add(stallTime)
		if !s.until.IsZero() && s.until.Before(limit) {
			limit = s.until
		}
		_ = s.c.raw.SetReadDeadline(limit)
		if s.stop != nil && s.stop.Load() {
			_ = s.c.raw.SetReadDeadline(longAgo)
		}
	}
	n, err := s.r.Read(p)
	s.n += n
	return n, err
}

// dripping reports whether less than leastBody came in the last stallTime.
func (s *stallReader) dripping(now time.Time) bool {
	if !s.since.IsZero() && now.Sub(s.since) < stallTime {
		return false
	}
	drips := !s.since.IsZero() && s.n < leastBody
	s.since, s.n = now, 0
	return drips
}
