package gateway

import (
	"context"
	"strconv"
	"strings"

	"freeway/internal/http1"
	"freeway/proxy"
)

// serveRequest serves one request and reports whether another one may follow
// on the connection.
func (c *client) serveRequest(ctx context.Context, q *http1.Request) bool {
	c.g.m.http.Inc()
	s := c.g.set.Load()
	c.keep = q.KeepAlive() && !q.Header.HasToken("Proxy-Connection", "close")
	if r := checkHead(q); r != nil {
		return c.refuseRequest(q, r, false)
	}
	l, r := basicLogin(q.Header)
	var w who
	if r == nil {
		r = c.authorize(s, l, q.Header.Get("Freeway-Options"), &w)
	}
	if r != nil {
		return c.refuseRequest(q, r, bodiless(q))
	}
	if q.Method == "CONNECT" {
		c.serveConnect(ctx, s, &w, q)
		return false
	}
	return c.servePlain(ctx, s, &w, q)
}

// checkHead refuses what is ambiguous before anything else is looked at.
func checkHead(q *http1.Request) *refusal {
	if _, err := q.BodyKind(); err != nil {
		return refusef(codeBadRequest, err.Error())
	}
	switch hosts := q.Header.Count("Host"); {
	case hosts > 1:
		return refusef(codeBadRequest, "Host is given twice")
	case hosts == 0 && q.Minor > 0:
		return refusef(codeBadRequest, "Host is missing")
	case hosts == 1 && !http1.ValidHost(q.Header.Get("Host")):
		return refusef(codeBadRequest, "Host is not a host and a port")
	case q.Header.Count("Freeway-Options") > 1:
		return refusef(codeBadOptions, "Freeway-Options is given twice")
	}
	return nil
}

// bodiless reports whether nothing of the request is left to read.
func bodiless(q *http1.Request) bool {
	f, err := q.BodyKind()
	return err == nil && (f.Kind == http1.NoBody || f.Kind == http1.Length && f.Length == 0)
}

// refuseRequest answers with a refusal. It keeps the connection when may is
// true and the client wants that.
func (c *client) refuseRequest(q *http1.Request, r *refusal, may bool) bool {
	id := newID()
	c.turnAway(id, q.Method, askedFor(q), r.code, r.httpStatus())
	return c.answerRefusal(q, r, id, may)
}

// answerRefusal writes a refusal under the id of its trace and reports whether the
// connection stays. Nothing is written to a client that is gone.
func (c *client) answerRefusal(q *http1.Request, r *refusal, id string, may bool) bool {
	keep := may && c.keeps()
	if r.code == codeGone {
		return false
	}
	if c.write(r.appendTo(nil, id, keep, q.Method == "HEAD")) != nil {
		return false
	}
	if !keep {
		c.linger()
	}
	return keep
}

// keeps reports whether the connection stays after this request.
func (c *client) keeps() bool { return c.keep && !c.g.leaving.Load() && !c.g.ending.Load() }

// serveConnect serves a CONNECT request, which uses the connection up.
func (c *client) serveConnect(ctx context.Context, s *settings, w *who, q *http1.Request) {
	t, err := proxy.ParseTarget(q.Target, 0)
	if err != nil {
		c.refuseRequest(q, refusef(codeBadRequest, "CONNECT: "+err.Error()), false)
		return
	}
	x, r := c.enter(ctx, s, w, q.Method, t, false)
	refuse := func(r *refusal) {
		x.end(r)
		c.answerRefusal(q, r, x.trace.ID, false)
	}
	if r != nil {
		refuse(r)
		return
	}
	succeed := func(t *try) error {
		x.trace.Status = 200
		x.show(t)
		p := http1.Response{Minor: 1, Status: 200, Reason: "Connection established"}
		x.expose(&p.Header, t)
		return c.write(p.AppendTo(nil))
	}
	x.tunnel(ctx, succeed, refuse)
}

// enter begins an exchange after the checks that hold for every protocol. The
// exchange must be ended, also when it is refused.
func (c *client) enter(ctx context.Context, s *settings, w *who, method string, t proxy.Target, plain bool) (*exchange, *refusal) {
	x := c.begin(s, w, method, &t, plain)
	r := c.g.checkTarget(s, t)
	if r == nil && c.g.memory.over(memoryOver) {
		r = noMemory()
	}
	if r == nil {
		r = x.admit(ctx)
	}
	return x, r
}

// expose tells of a soft session that has another exit than before, and adds
// what Config.ExposeUpstream promises.
func (x *exchange) expose(h *http1.Header, t *try) {
	for _, change := range []string{"session moved", "session lent"} {
		if strings.HasPrefix(t.lease.Why, change) {
			h.Add("Proxy-Status", "freeway; details="+strconv.Quote(change))
		}
	}
	if !x.s.cfg.ExposeUpstream {
		return
	}
	e := &t.lease.Entry
	ep := e.Endpoint
	ep.User = ""
	h.Add("Freeway-Upstream", ep.String())
	if a := e.Traits.ExitIP; a.IsValid() {
		h.Add("Freeway-Exit", a.String())
	}
	if e.Traits.Country != "" {
		h.Add("Freeway-Country", e.Traits.Country)
	}
	attempts := len(x.trace.Attempts)
	if !t.settled {
		attempts++
	}
	h.Add("Freeway-Attempts", strconv.Itoa(attempts))
	h.Add("Freeway-Request-Id", x.trace.ID)
}
