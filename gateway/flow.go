package gateway

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"freeway/dial"
	"freeway/proxy"
)

const (
	halfGrace = 60 * time.Second       // how long one direction may be silent once the other has ended
	hangupLag = 500 * time.Millisecond // how long a client may take to speak into a tunnel that ended without a word
	greetHold = 300 * time.Millisecond // how long what an upstream sends first is kept from a client that may be about to speak TLS

	soonTime = time.Second // in which most clients begin to speak, and many have done

	creditBytes = 64 << 10         // after this much has come down, a tunnel counts as a success
	creditAfter = 10 * time.Second // or after this long, so that tunnels that stay up for hours count early
)

// flow is a tunnel that is up: the client on one side and, one after the other
// while the first flight is replayed, upstreams on the other.
type flow struct {
	x    *exchange
	idle time.Duration // silence in both directions that ends it
	left time.Duration // for the first flight: what the set-up left of the request's time

	first  *leg        // the upstream that it began with
	old    *time.Timer // ends it by its age; nil: nothing does
	unhook func() bool // it no longer ends with the context; nil: the end of the connection suffices

	soon  bool // the client's side is still in the goroutine that set the tunnel up, for soonTime at most; of that goroutine
	apart bool // it is in one of its own

	up, down  atomic.Int64 // bytes from and to the client
	lastMoved atomic.Int64 // Unix nanoseconds when a byte last moved either way
	spoke     atomic.Int64 // Unix nanoseconds when the client first sent something; 0: not yet
	half      atomic.Bool  // one direction has ended
	broke     atomic.Bool  // the user has no bytes left
	barred    atomic.Bool  // the client was about to send credentials
	tls       atomic.Bool  // the client began with a ClientHello, as far as it was here at once
	heads     *heads       // what the client sends is watched for credentials; nil: not

	mu      sync.Mutex // protects the fields below
	leg     *leg       // the upstream in use
	aborted bool
	ended   bool        // class is known
	class   proxy.Class // what ended the tunnel, as far as it speaks about the upstream
}

// leg is the way through one upstream. Its goroutine reads what comes back.
type leg struct {
	t        *try
	up       *dial.Conn
	state    atomic.Int32
	claiming sync.Once
	claimed  chan struct{} // closed by the client's side when the client has spoken or never will
	due      atomic.Int64  // nanoseconds after the try began, by when the answer to the client's hello must be here; 0: none was sent
	trial    *trial        // of a leg that is held; nil once it may go on
	done     chan struct{} // closed when the goroutine has ended
	guarded  bool          // nothing but TLS may pass (Config.PlainHTTP)

	answered bool        // something came back; the three are of the leg's goroutine until done
	since    time.Time   // when
	records  records     // what came back, where it is TLS
	odd      atomic.Bool // what came back before the client spoke is not TLS
	garbage  atomic.Bool // the client spoke TLS and what came back is not
}

// States of a leg. The client's side moves it from waiting to held or open;
// the upstream's side to open when the upstream speaks first.
const (
	waiting int32 = iota // nobody has sent anything
	open                 // what comes back goes to the client
	held                 // what comes back is judged by the client's side first
	shut                 // nothing that comes back is wanted
)

// opening is the first thing that came back from an upstream.
type opening struct {
	data  []byte
	err   error
	early bool  // it came before the client had spoken
	sink  error // why the client did not take it
}

// trial is the talk of the two sides about a leg that is held.
type trial struct {
	opening chan opening // what came back first
	verdict chan bool    // answer to it: go on, or end
}

func newTrial() *trial { return &trial{make(chan opening, 1), make(chan bool, 1)} }

// release lets a leg end that nobody will judge any more.
func (l *leg) release() {
	if l.trial == nil {
		return
	}
	select {
	case l.trial.verdict <- false:
	default: // it was judged
	}
}

// goOn lets a leg whose opening is known go on.
func (l *leg) goOn() {
	l.trial.verdict <- true
	l.trial = nil
}

// start makes up the upstream in use, in the given state, and begins to read from it.
func (f *flow) start(t *try, up *dial.Conn, state int32) *leg {
	l := &leg{t: t, up: up, claimed: make(chan struct{}), done: make(chan struct{})}
	l.state.Store(state)
	switch state {
	case held:
		l.trial = newTrial()
		l.claim()
	case open:
		l.claim()
	}
	l.guarded = state == waiting && f.x.s.cfg.PlainHTTP == refuse && isPublic(t.lease.Entry.Pool)
	f.mu.Lock()
	f.leg = l
	if f.aborted {
		_ = up.Close()
	}
	f.mu.Unlock()
	go func() {
		defer close(l.done)
		defer f.x.c.g.recover()
		f.download(l)
	}()
	return l
}

// claim closes claimed.
func (l *leg) claim() { l.claiming.Do(func() { close(l.claimed) }) }

// isPublic reports whether a pool is the one of public lists.
func isPublic(pool string) bool { return pool == "" || pool == proxy.PublicPool }

// abort cuts the tunnel.
func (f *flow) abort() {
	f.note(proxy.OK)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.aborted = true
	f.x.pace.stop()
	_ = f.leg.up.Close()
	_ = f.x.c.raw.Close()
}

// note says what ended the tunnel. Only the first word counts: what fails
// afterwards fails because of it.
func (f *flow) note(class proxy.Class) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.ended {
		f.ended, f.class = true, class
	}
}

// stage is a part of the client's side of a tunnel: when there is no further one
// in client.then, the tunnel is over once the other side is.
func (f *flow) stage(do func()) func() {
	return func() {
		c, whole := f.x.c, false
		defer func() {
			if whole && c.then != nil {
				return
			}
			c.then = nil
			if !whole { // a panic: nothing else ends the other side
				f.abort()
				f.leg.release()
				f.settle()
				return
			}
			if !f.apart && !f.endsSoon() {
				f.next(func() {})
				return
			}
			f.other()
			if c.then = f.end; f.apart {
				c.where = grown
			}
		}()
		do()
		whole = true
	}
}

// endsSoon waits a little for the upstream's side, and reports whether it has ended.
func (f *flow) endsSoon() bool {
	f.first.claim()
	t := timers.Get().(*time.Timer)
	t.Reset(f.x.c.g.soonTime)
	defer func() {
		t.Stop()
		timers.Put(t)
	}()
	select {
	case <-f.leg.done:
		return true
	case <-t.C:
		return false
	}
}

// timers are stopped, and nothing is in their channels.
var timers = sync.Pool{New: func() any {
	t := time.NewTimer(time.Hour)
	t.Stop()
	return t
}}

// end is the last part of the client's side.
func (f *flow) end() {
	alone := false
	defer func() {
		f.x.end(nil)
		if alone {
			f.x.recycle()
		}
	}()
	alone = f.over()
}

// next has the rest run in a goroutine of its own, whose stack is still small:
// tunnels are many and last long. What is unlikely to be used again goes.
func (f *flow) next(do func()) {
	f.x.c.watcher.timer, f.x.unused = nil, nil
	f.x.c.scope.Store(nil)
	f.apart = true
	f.leg.up.KeepAlive()
	f.x.c.then, f.x.c.where = f.stage(do), apart
}

// early serves the first words of a client that speaks soon in the goroutine
// that set the tunnel up.
func (f *flow) early(ctx *scope) {
	err := f.hear(min(f.x.c.g.soonTime, f.idle))
	if errors.Is(err, os.ErrDeadlineExceeded) {
		base := ctx.parent // not the whole scope, for as long as nobody speaks
		asleep := f.x.c.drowse()
		f.next(func() {
			var said []byte // the stack is small until somebody speaks
			var err error
			if asleep != nil {
				_ = f.x.c.raw.SetReadDeadline(time.Now().Add(f.idle))
				said, err = asleep.read()
			}
			f.spoken(asleep, said, err, base)
		})
		return
	}
	f.words(ctx, err)
}

// spoken is early for a client that was waited for in drowse.
func (f *flow) spoken(asleep *source, said []byte, err error, base context.Context) {
	if asleep != nil {
		f.x.c.wake(asleep, said)
	}
	if len(said) > 0 || err == nil {
		err = f.hear(f.idle)
	}
	f.words(f.x.c.newScope(base, time.Time{}), err)
}

// words serves the client's first words and, unless that ends soon, leaves the
// rest to another goroutine.
func (f *flow) words(ctx *scope, err error) {
	l := f.firstWords(ctx, err)
	switch {
	case l == nil:
	case f.apart:
		f.next(func() { f.upload(l) })
	case f.uploadSoon(l):
	case f.restIdle(f.x.c.raw, nil):
		f.next(func() { f.upload(l) })
	default:
		f.abort()
	}
}

// uploadSoon is upload for soonTime. It reports whether that was enough.
func (f *flow) uploadSoon(l *leg) bool {
	_ = f.x.c.raw.SetReadDeadline(time.Now().Add(min(f.x.c.g.soonTime, f.idle)))
	f.soon = true
	defer func() { f.soon = false }()
	return f.upload(l)
}

// other waits for the upstream's side.
func (f *flow) other() {
	f.first.claim()
	<-f.leg.done
}

// settle waits for the upstream's side and ends the tunnel.
func (f *flow) settle() {
	f.other()
	f.over()
}

// over settles what is open when both sides have ended. It reports whether
// nothing else looks at the exchange any more.
func (f *flow) over() bool {
	f.finish(f.leg)
	x := f.x
	if f.broke.Load() {
		x.spent(errQuota)
	}
	if f.barred.Load() {
		x.cutFor(codeCredentials)
	}
	x.trace.Up, x.trace.Down = f.up.Load(), f.down.Load()
	unhooked, stopped := f.unhook == nil || f.unhook(), f.old == nil || f.old.Stop()
	alone := unhooked && stopped // abort may run else
	x.c.g.tunnels.Add(-1)
	return alone
}

// hold has what comes back judged first, unless something came already.
func (l *leg) hold() bool {
	l.trial = newTrial()
	return l.state.CompareAndSwap(waiting, held)
}

// hear waits for the client to speak.
func (f *flow) hear(most time.Duration) error {
	_ = f.x.c.raw.SetReadDeadline(time.Now().Add(most))
	_, err := f.x.c.r.Peek(1)
	return err
}

// firstWords serves what the client sends first. err is why nothing came. It
// returns the leg through which the rest goes, nil when there is no rest.
func (f *flow) firstWords(ctx *scope, err error) *leg {
	l, c := f.leg, f.x.c
	defer l.claim()
	hello := false
	if err == nil {
		f.spoke.Store(time.Now().UnixNano())
		b, _ := c.r.Peek(c.r.Buffered())
		hello = b[0] == recordHandshake
		f.tls.Store(isHello(b))
	}
	switch {
	case brokeOff(err):
		f.cut(l) // a second read would take it for an end
		return nil
	case l.guarded && err != nil:
		f.refuse(l, nil)
		return nil
	case l.guarded && !c.beginsTLS():
		f.refuse(l, refusePlain())
		return nil
	case err == nil && !hello && f.turnsBack(c):
		f.refuse(l, refuseLoop())
		return nil
	case err == nil && !hello && f.watches(l) && f.betrayed(l):
		return nil
	case hello && f.mayHold() && l.hold():
		l.claim()
		if l = f.firstFlight(ctx, l); l == nil {
			f.abort()
		}
	case err == nil && !l.state.CompareAndSwap(waiting, open) && l.odd.Load() && f.tls.Load():
		l.garbage.Store(true)
	}
	return l
}

// finish closes a leg whose goroutine has ended and settles what is still open.
func (f *flow) finish(l *leg) {
	_ = l.up.Close()
	spoke := f.spoke.Load()
	f.mu.Lock()
	class := f.class
	f.mu.Unlock()
	switch {
	case l.garbage.Load():
		l.t.report(proxy.StageTunnel, proxy.Garbage, 0, 0)
	case l.answered && class == proxy.OK:
		l.t.report(proxy.StageTunnel, proxy.OK, 0, 0)
	case l.answered:
		l.t.report(proxy.StageBody, class, 0, 0)
	case spoke != 0 && l.state.Load() != shut && time.Since(time.Unix(0, spoke)) >= f.x.s.cfg.Timeouts.FirstByte:
		l.t.report(proxy.StageTunnel, proxy.Timeout, 0, 0) // silence is what the client left for
	}
	l.t.close()
}

// upload carries what the client sends until its end, then says so upstream. It
// reports false when it is to go on elsewhere.
func (f *flow) upload(l *leg) bool {
	c := f.x.c
	for c.r != nil && c.r.Buffered() > 0 {
		n := c.r.Buffered()
		b, _ := c.r.Peek(n)
		err := f.allowed(b)
		if err == nil {
			err = f.send(l.up, b, &f.up)
		}
		if err != nil {
			f.note(dial.Classify(err))
			f.abort()
			return true
		}
		_, _ = c.r.Discard(n)
	}
	c.release() // the buffer is not needed any more
	source, sink := f.copy(l.up, c.conn, &f.up, nil)
	if sink != nil {
		f.note(dial.Classify(sink))
	}
	switch {
	case source == errLater:
		return false
	case brokeOff(source):
		f.cut(l)
	case source != nil || sink != nil:
		f.abort()
	default:
		f.note(proxy.OK)
		f.endHalf(l.up.CloseWrite, l.up, l.up.TCP() != nil)
	}
	return true
}

// errLater is the end of soonTime.
var errLater = errors.New("it takes longer")

// brokeOff reports whether reading failed because the client reset the connection.
func brokeOff(err error) bool { return err != nil && dial.Classify(err) == proxy.Reset }

// cut ends a tunnel whose client broke it off. The target must not take that for
// the end of what was sent (RFC 9113 section 8.5).
func (f *flow) cut(l *leg) {
	f.note(proxy.OK)
	l.up.Reset()
	f.abort()
}

// closeWrite half-closes a connection of a client, TCP or TLS.
func closeWrite(c net.Conn) error {
	if w, ok := c.(interface{ CloseWrite() error }); ok {
		return w.CloseWrite()
	}
	return errors.ErrUnsupported
}

// endHalf passes the end of one direction on. The other one, which reads from
// other, has its grace from now on. When that has ended already, closing a bare
// connection, which is next, says as much: nothing is left to read.
func (f *flow) endHalf(closeWrite func() error, other net.Conn, bare bool) {
	if bare && f.half.Load() {
		return
	}
	if closeWrite() != nil {
		f.abort()
		return
	}
	f.half.Store(true)
	_ = other.SetReadDeadline(time.Now().Add(f.patience()))
}

// patience is how long both directions may be silent.
func (f *flow) patience() time.Duration {
	if f.half.Load() {
		return min(f.idle, halfGrace)
	}
	return f.idle
}

// copy moves bytes until the source ends or either side fails. l is the leg
// that they come from, nil when they come from the client.
func (f *flow) copy(dst, src net.Conn, count *atomic.Int64, l *leg) (source, sink error) {
	from := newSource(f.x.c.g, src)
	for {
		if s := f.splicing(dst, from, l); s != nil {
			from.size = smallSize
			l.records.on = false
			goOn, err := s.run(count)
			if s.done(); !goOn {
				return err, nil
			}
		}
		data, err := from.read()
		n := len(data)
		if n > 0 && l == nil {
			sink = f.allowed(data)
		}
		if n > 0 && sink == nil {
			if sink = f.send(dst, data, count); sink == nil && l != nil {
				l.records.feed(data)
				f.credit(l)
			}
		}
		from.done(n)
		switch {
		case sink != nil:
			return nil, sink
		case err == nil:
		case errors.Is(err, io.EOF):
			return nil, nil
		case !errors.Is(err, os.ErrDeadlineExceeded):
			return err, nil
		case l == nil && f.soon:
			return errLater, nil
		default:
			goOn := false
			f.x.c.g.aside(func() { goOn = f.restIdle(src, l) })
			if !goOn {
				return err, nil
			}
		}
	}
}

// send writes b, as fast as the user's bandwidth allows, and counts it.
func (f *flow) send(dst net.Conn, b []byte, count *atomic.Int64) error {
	if f.x.pace == nil {
		return f.put(dst, b, count)
	}
	return f.x.pace.each(b, func(part []byte) error { return f.put(dst, part, count) })
}

// put writes b and counts it.
func (f *flow) put(dst net.Conn, b []byte, count *atomic.Int64) error {
	now := time.Now()
	f.lastMoved.Store(now.UnixNano())
	_ = dst.SetWriteDeadline(now.Add(f.idle))
	n, err := f.x.spend(b, dst)
	count.Add(int64(n))
	f.lastMoved.Store(time.Now().UnixNano())
	if err == errQuota {
		f.note(proxy.OK)
		f.broke.Store(true)
	}
	return err
}

// restIdle reports whether a read that timed out may go on, because bytes
// moved in the meantime or the time was only up for the credit of a leg, and
// sets its next deadline.
func (f *flow) restIdle(src net.Conn, l *leg) bool {
	now, half := time.Now(), f.half.Load()
	rest := f.patience() - now.Sub(time.Unix(0, f.lastMoved.Load()))
	if rest <= 0 {
		return false
	}
	if soon := f.credit(l); soon > 0 {
		rest = min(rest, soon)
	}
	if src.SetReadDeadline(now.Add(rest)) != nil {
		return false
	}
	if !half && f.half.Load() { // meanwhile the other side has set a shorter one
		_ = src.SetReadDeadline(now.Add(min(rest, f.patience())))
	}
	return true
}
