package gateway

import (
	"context"
	"strings"
	"sync"

	"freeway/internal/http1"
	"freeway/proxy"
)

// parts is what the way of a plain request through the first upstream needs.
type parts struct {
	reply  reply
	taken  bool // reply is in use
	body   http1.Body
	writer writer
}

var (
	exchanges = sync.Pool{New: func() any { return new(exchange) }}
	requests  = sync.Pool{New: func() any { return new(http1.Request) }}
	outgoings = sync.Pool{New: func() any { return new(outgoing) }}
)

// newReply returns an empty reply. The first one of a request is a part of it.
func (o *outgoing) newReply() *reply {
	if o.parts.taken {
		return new(reply)
	}
	o.parts.taken = true
	return &o.parts.reply
}

// newTry returns an empty try. The first one of an exchange is a part of it.
func (x *exchange) newTry() *try {
	if x.first.x != nil {
		return new(try)
	}
	return &x.first
}

// recycle gives a plain request that is over back to those that come. Nothing
// refers to it any more: its hedges, uploads and watchers have been waited for.
func recycle(x *exchange, o *outgoing) {
	if o.upgrade {
		return // it was a tunnel
	}
	room := &o.parts.reply.room
	room.Clear()
	*o = outgoing{parts: parts{reply: reply{room: *room}}}
	outgoings.Put(o)
	x.recycle()
}

// recycle gives an exchange that is over back.
func (x *exchange) recycle() {
	*x = exchange{unused: x.unused}
	exchanges.Put(x)
}

// nextRequest reads and serves one request. It reports whether another one may
// follow on the connection.
func (c *client) nextRequest(ctx context.Context) bool {
	q := requests.Get().(*http1.Request)
	if err := q.Read(c.r, headLimit); err != nil {
		c.refuseHead(err)
		return false
	}
	more := c.serveRequest(ctx, q)
	q.Clear()
	requests.Put(q)
	return more
}

// aim is the latest target of a client, as it was written and as it was read.
type aim struct {
	authority string
	target    proxy.Target
}

// plainTarget reads the authority of a plain request. Most clients ask for the
// same one again and again.
func (c *client) plainTarget(authority string) (proxy.Target, *refusal) {
	if c.aim.authority == authority && authority != "" {
		return c.aim.target, nil
	}
	if !oneAuthority(authority) {
		return proxy.Target{}, refusef(codeBadRequest, "a bad authority in the target")
	}
	authority = strings.Clone(authority) // not with the whole head
	t, err := proxy.ParseTarget(authority, 80)
	if err != nil {
		return proxy.Target{}, refusef(codeBadRequest, err.Error())
	}
	t.TLS = false
	c.aim = aim{authority, t}
	return t, nil
}
