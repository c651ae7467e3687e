package gateway

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"freeway/dial"
	"freeway/internal/http1"
	"freeway/proxy"
)

const (
	reuseIdle  = 15 * time.Second // how long an upstream connection waits for its next request
	reuseAge   = time.Minute      // age after which none is kept: what leaves by another exit per connection keeps doing so
	reuseEach  = 32               // kept per upstream and target
	reuseMost  = 1024             // kept in all, and never more than one in reuseShare of the client connections
	reuseShare = 4
	reuseLook  = time.Second // how often kept connections are looked at
)

// lane says which requests a kept connection may serve: those of the same way
// out, with the same credentials. The upstream is picked first, always.
type lane struct {
	ep       proxy.Endpoint
	password proxy.Secret
	target   proxy.Target // also for absolute form: some proxies relay all that follows to the first target
	session  string       // where uses cost money and may rotate: the session it belongs to
}

// reuse keeps upstream connections between requests. Every one of them has
// answered whole and by the rules, and has been silent since.
type reuse struct {
	mu   sync.Mutex // protects the fields below
	idle map[lane]*[]parked
	n    int
	over bool                    // nothing is kept any more
	once map[proxy.Endpoint]bool // upstreams that take one request per connection, whatever they say
}

// parked is a connection that waits.
type parked struct {
	up     *dial.Conn
	since  time.Time
	proven bool // it has served a second request
}

// take returns the connection of the lane that was used last, nil when there is none.
func (r *reuse) take(l lane) (up *dial.Conn, proven bool) {
	for {
		r.mu.Lock()
		shelf := r.idle[l]
		if shelf == nil || len(*shelf) == 0 {
			r.mu.Unlock()
			return nil, false
		}
		list := *shelf
		p := list[len(list)-1]
		list[len(list)-1] = parked{}
		*shelf, r.n = list[:len(list)-1], r.n-1 // an empty one is likely to be filled again
		r.mu.Unlock()
		if time.Since(p.since) < reuseIdle && p.up.Quiet() {
			return p.up, p.proven
		}
		_ = p.up.Close()
	}
}

// set replaces the list of a lane that became shorter by so many. mu is held.
func (r *reuse) set(l lane, list []parked, fewer int) {
	r.n -= fewer
	if len(list) == 0 {
		delete(r.idle, l)
		return
	}
	*r.idle[l] = list
}

// put keeps a connection, or closes it when there are enough; most is how many
// there may be in all.
func (r *reuse) put(l lane, up *dial.Conn, proven bool, most int) {
	r.mu.Lock()
	shelf := r.idle[l]
	fits := !r.over && !r.once[l.ep] && (shelf == nil || len(*shelf) < reuseEach) && r.n < most && up.Age() < reuseAge
	if fits {
		if r.idle == nil {
			r.idle = map[lane]*[]parked{}
		}
		if shelf == nil {
			shelf = new([]parked)
			r.idle[l] = shelf
		}
		*shelf = append(*shelf, parked{up, time.Now(), proven})
		r.n++
	}
	r.mu.Unlock()
	if !fits {
		_ = up.Close()
	}
}

// shun keeps no connection of the upstream from now on.
func (r *reuse) shun(ep proxy.Endpoint) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.once == nil || len(r.once) >= reuseMost {
		r.once = map[proxy.Endpoint]bool{}
	}
	r.once[ep] = true
	for l, shelf := range r.idle {
		if l.ep == ep {
			for _, p := range *shelf {
				_ = p.up.Close()
			}
			r.set(l, nil, len(*shelf))
		}
	}
}

// sweep closes what waits too long, has ended or spoke unasked; all: everything.
func (r *reuse) sweep(all bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := time.Now()
	for l, shelf := range r.idle {
		list := *shelf
		kept := slices.DeleteFunc(list, func(p parked) bool {
			drop := all || now.Sub(p.since) >= reuseIdle || !p.up.Quiet()
			if drop {
				_ = p.up.Close()
			}
			return drop
		})
		r.set(l, kept, len(list)-len(kept))
	}
}

// run looks at what is kept until ctx ends, then closes it. also is called each time.
func (r *reuse) run(ctx context.Context, also func()) {
	t := time.NewTicker(reuseLook)
	defer t.Stop()
	for {
		select {
		case <-t.C:
			r.sweep(false)
			also()
		case <-ctx.Done():
			r.mu.Lock()
			r.over = true
			r.mu.Unlock()
			r.sweep(true)
			return
		}
	}
}

// lane returns where the try's connection may come from and be kept, and whether
// it may be kept at all.
func (t *try) lane(o *outgoing) (l lane, ok bool) {
	e := &t.lease.Entry
	l = lane{ep: e.Endpoint, password: e.Password, target: t.x.want.Target}
	if t.x.metered(t) {
		l.session = t.x.want.Session.User + "\x00" + t.x.want.Session.ID
		ok = t.x.want.Session != (proxy.SessionKey{})
	} else {
		ok = true
	}
	return l, ok && !o.upgrade && !o.bound()
}

// bound reports whether the request logs its connection in rather than itself
// (RFC 4559 section 6): nobody else may have that connection.
func (o *outgoing) bound() bool {
	for _, v := range o.q.Header.Values("Authorization") {
		if scheme, _, _ := strings.Cut(v, " "); http1.EqualFold(scheme, "NTLM") || http1.EqualFold(scheme, "Negotiate") {
			return true
		}
	}
	return false
}

// kept returns a connection that served a request before, nil for none: only
// what may be sent twice goes out on one, because it may have just ended.
func (t *try) kept(o *outgoing) (up *dial.Conn, proven bool) {
	if !o.repeats || !o.safe() {
		return nil, false
	}
	l, ok := t.lane(o)
	if !ok {
		return nil, false
	}
	return t.x.c.g.reuse.take(l)
}

// again sends the request over a kept connection, if there is one. What it
// returns is nil when a fresh connection has to tell: the kept one had ended
// before the request came, which is nobody's fault, or its second request got an
// error, which is what a proxy gets that relays it to the target as it is.
func (t *try) again(ctx *scope, o *outgoing, forward bool) (p *reply, doubt int, err error) {
	up, proven := t.kept(o)
	if up == nil {
		return nil, 0, nil
	}
	p, err = t.ask(ctx, up, o, forward)
	p.proven = true
	switch {
	case ctx.Err() != nil:
	case p.stale(err, o):
		p.close()
		return nil, 0, nil
	case err == nil && forward && !proven && doubtful(p.head) && o.safe():
		p.close()
		return nil, p.head.Status, nil
	}
	return p, 0, err
}

// doubtful reports whether an answer may be what a target says to a request that
// was not meant for it. What asks to come later is not repeated at once.
func doubtful(h *http1.Response) bool {
	return h.Status >= 400 && h.Status != http.StatusTooManyRequests && !h.Header.Has("Retry-After")
}

// stale reports whether a kept connection had ended before the request came:
// nothing of an answer arrived.
func (p *reply) stale(err error, o *outgoing) bool {
	if err == nil || p.head != nil || p.r.Buffered() > 0 || !o.safe() {
		return false
	}
	class := classOf(err)
	return class == proxy.EOF || class == proxy.Reset
}

// keepFor says where the connection goes when the answer came whole. What is
// odd in any way is closed: an answer without a body that may have one all the
// same, an early one, one that asks for a login.
func (p *reply) keepFor(t *try, o *outgoing) {
	h := p.head
	l, ok := t.lane(o)
	switch {
	case !ok, p.upload != nil, h.Minor == 0, !h.KeepAlive(), h.Header.HasToken("Proxy-Connection", "close"):
	case p.framing.Kind != http1.Length && p.framing.Kind != http1.Chunked, h.Status == 401, h.Status == 407:
	case o.q.Method == "HEAD", len(o.held) > 0 && h.Status >= 400:
	default:
		p.lane, p.keeps = l, true
	}
}

// rest keeps the connection for another request, or closes it.
func (p *reply) rest(g *Gateway) {
	unhooked := p.scope.unhook(p.up)
	if p.keeps && p.whole && unhooked && p.r.Buffered() == 0 {
		g.reuse.put(p.lane, p.up, p.proven, min(reuseMost, g.set.Load().maxConns/reuseShare))
		return
	}
	_ = p.up.Close()
}
