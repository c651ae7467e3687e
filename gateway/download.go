package gateway

import (
	"errors"
	"io"
	"net"
	"os"
	"time"

	"freeway/dial"
	"freeway/proxy"
)

// download is the upstream's side of a leg.
func (f *flow) download(l *leg) {
	from := newSource(f.x.c.g, l.up)
	_ = l.up.SetReadDeadline(time.Now().Add(f.idle))
	l.obeyDue()
	var first opening
	goOn := f.begin(l, from, &first)
	if goOn {
		f.deliver(l, &first)
	}
	from.done(0)
	if goOn {
		f.carry(l, first.err, first.sink)
	}
}

// begin waits for what comes back first and for the word of the client's side. It
// reports whether what came may go on to the client.
func (f *flow) begin(l *leg, from *source, first *opening) bool {
	first.data, first.err = f.readFirst(l, from)
	if l.state.Load() == waiting {
		first.early = len(first.data) > 0
		f.awaitClient(l, first.data)
	}
	l.odd.Store(first.early && plausibleTLS(first.data) == notTLS)
	if l.state.CompareAndSwap(waiting, open) {
		f.judge(l, first)
		return true
	}
	switch l.state.Load() {
	case shut:
		return false
	case held:
		if from.buf != nil {
			l.fill(*from.buf, first)
		}
		trial := l.trial
		trial.opening <- *first
		if !<-trial.verdict {
			return false
		}
	}
	f.judge(l, first)
	return true
}

// awaitClient gives a client the time to speak before it gets what the
// upstream sent first, or learns that the upstream is gone: if it speaks TLS
// then, another upstream can serve it. A guarded leg gives nothing before.
func (f *flow) awaitClient(l *leg, first []byte) {
	if l.guarded {
		<-l.claimed
		return
	}
	hold := hangupLag
	if len(first) > 0 {
		hold = f.x.c.g.greetHold
	}
	if len(first) > 0 && (!f.mayHold() || greets(first)) {
		return
	}
	t := time.NewTimer(hold)
	defer t.Stop()
	select {
	case <-l.claimed:
	case <-t.C:
	}
}

// greetings begin what servers say first in protocols in which they do: SMTP and FTP,
// SSH, POP3, IMAP, VNC, rsync, NNTP.
var greetings = []string{"220", "SSH-", "+OK", "* OK", "* PREAUTH", "RFB ", "@RSYNCD:", "200 ", "201 "}

// greets reports whether b is the greeting of a server, for which no client waits
// with a ClientHello of its own.
func greets(b []byte) bool {
	for _, g := range greetings {
		if len(b) >= len(g) && string(b[:len(g)]) == g {
			return true
		}
	}
	return false
}

// readFirst waits for the first bytes, for as long as the tunnel is not idle.
func (f *flow) readFirst(l *leg, from *source) ([]byte, error) {
	for {
		data, err := from.read()
		if len(data) > 0 || err == nil || !errors.Is(err, os.ErrDeadlineExceeded) || l.overdue() || l.due.Load() == 0 && !f.restIdle(l.up, nil) {
			return data, err
		}
		l.obeyDue()
		from.done(0)
	}
}

// obeyDue sets the deadline for the answer to a hello that was sent. Whoever has
// set another one must call it afterwards: the client's side may have sent the
// hello in between.
func (l *leg) obeyDue() {
	if due := l.due.Load(); due != 0 {
		_ = l.up.SetReadDeadline(l.t.began.Add(time.Duration(due)))
	}
}

// overdue reports whether a hello was sent and the time for its answer is up.
func (l *leg) overdue() bool {
	due := l.due.Load()
	return due != 0 && time.Since(l.t.began) >= time.Duration(due)
}

// fill reads on until the first record of TLS is whole, as far as buf holds it.
func (l *leg) fill(buf []byte, first *opening) {
	for first.err == nil {
		n := len(first.data)
		missing := min(missingTLS(first.data), len(buf)-n)
		if missing == 0 {
			return
		}
		more, err := l.up.Read(buf[n:])
		first.data, first.err = buf[:n+more], err
	}
}

// judge takes down what came back first. Silence that ended is reported at
// once; what answered is reported when it has shown that it lasts.
func (f *flow) judge(l *leg, first *opening) {
	spoke := f.spoke.Load()
	switch {
	case l.t.settled:
	case len(first.data) > 0:
		l.answered, l.since = true, time.Now()
		l.records.on = plausibleTLS(first.data) != notTLS
		if f.tls.Load() && !l.records.on && missingTLS(first.data) == 0 {
			l.garbage.Store(true)
		}
		if spoke != 0 && l.t.phases.FirstByte == 0 {
			l.t.phases.FirstByte = max(0, time.Since(time.Unix(0, spoke)))
		}
		_ = l.up.SetReadDeadline(time.Now().Add(min(f.patience(), f.x.c.g.creditAfter)))
	case spoke != 0 && !f.half.Load() && !errors.Is(first.err, net.ErrClosed):
		l.t.report(proxy.StageTunnel, dial.Classify(first.err), 0, 0)
	}
}

// aside runs something in a goroutine of its own and waits for it, so that the
// stack of one that waits for long does not grow.
func (g *Gateway) aside(do func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer g.recover()
		do()
	}()
	<-done
}

// credit reports a tunnel that works before it ends, and returns how long
// until it would be next; 0: no more.
func (f *flow) credit(l *leg) time.Duration {
	if l == nil || !l.answered || l.t.settled || l.garbage.Load() {
		return 0
	}
	left := f.x.c.g.creditAfter - time.Since(l.since)
	if left > 0 && f.down.Load() < creditBytes {
		return left
	}
	l.t.report(proxy.StageTunnel, proxy.OK, 0, 0)
	return 0
}

// deliver gives the client what came first.
func (f *flow) deliver(l *leg, first *opening) {
	if len(first.data) > 0 {
		l.records.feed(first.data)
		first.sink = f.send(f.x.c.conn, first.data, &f.down)
	}
}

// carry gives the client everything behind what came first, unless that has failed already.
func (f *flow) carry(l *leg, source, sink error) {
	c := f.x.c
	if sink == nil && source == nil {
		source, sink = f.copy(c.conn, l.up, &f.down, l)
	} else if errors.Is(source, io.EOF) {
		source = nil
	}
	f.note(l.ending(source, sink))
	if source != nil || sink != nil {
		c.reset()
		f.abort()
		return
	}
	f.endHalf(func() error { return closeWrite(c.conn) }, c.raw, c.conn == c.raw)
}

// ending is what the end of what came back says about the upstream. A client
// that takes no more and a tunnel that is idle say nothing.
func (l *leg) ending(source, sink error) proxy.Class {
	switch {
	case sink != nil, errors.Is(source, os.ErrDeadlineExceeded), errors.Is(source, net.ErrClosed):
		return proxy.OK
	case source == nil && !l.records.cut():
		return proxy.OK
	case source == nil, errors.Is(source, io.ErrUnexpectedEOF):
		return proxy.Truncated
	}
	return dial.Classify(source)
}
