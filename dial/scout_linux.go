package dial

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"freeway/proxy"
)

// A Scout makes the first steps towards many proxies at the same time: connects,
// sends the opening of a tunnel and waits for the first byte of an answer. Most of
// the proxies of public lists never come so far, and one that is waited for costs a
// socket and a few hundred bytes here where a goroutine would keep a stack.
// Methods are safe for concurrent use.
type Scout struct {
	epoll *os.File // an epoll(7) instance, itself in the runtime's poller
	raw   syscall.RawConn
	ended chan struct{} // closed when the goroutine has ended

	mu     sync.Mutex // protects the fields below
	out    map[int]*party
	look   time.Time // when the time-outs are looked at next; zero: nobody is out
	closed bool
}

// The time-out of one who is out is looked at when it ends, and every maxLook since
// it may change; those of all together not more often than every minLook.
const (
	minLook = 20 * time.Millisecond
	maxLook = 500 * time.Millisecond
)

// party is one proxy that is on its way.
type party struct {
	Route
	foray   Foray
	fd      int
	opening []byte
	made    time.Time     // when connecting began
	connect time.Duration // how long it took; 0: not connected yet
	said    time.Time     // when the opening was sent
	told    bool          // the foray knows that connecting has ended
	nudged  bool
	due     time.Time // when its time-out is looked at
	watched *Scout    // whose epoll has the socket; nil: none
}

// NewScout starts one; Close ends it. The error is that of the system.
func NewScout() (*Scout, error) {
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, os.NewSyscallError("epoll_create1", err)
	}
	if err := unix.SetNonblock(fd, true); err != nil { // so that os.NewFile puts it into the poller
		unix.Close(fd)
		return nil, os.NewSyscallError("fcntl", err)
	}
	s := &Scout{epoll: os.NewFile(uintptr(fd), "epoll"), ended: make(chan struct{}), out: map[int]*party{}}
	s.raw, err = s.epoll.SyscallConn()
	if err := cmp.Or(err, s.epoll.SetReadDeadline(time.Time{})); err != nil {
		s.epoll.Close()
		return nil, err
	}
	go s.run()
	return s, nil
}

// Close ends those that are still out with Canceled, and waits for the scout's goroutine.
func (s *Scout) Close() {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	_ = s.epoll.SetReadDeadline(longAgo) // fails only when it has ended already
	<-s.ended
}

// Start begins a foray. Not done means that f.Done will be called.
func (s *Scout) Start(f Foray, r Route) (got Scouted, done bool) {
	p := &party{Route: r, foray: f, fd: -1, made: time.Now()}
	asked := false
	defer func() {
		if !asked { // a hook panicked
			p.failed(context.Canceled)
		}
	}()
	if r.To != nil {
		p.opening = r.Via.opening(*r.To)
	}
	err := p.dial()
	asked = true
	if err != nil && err != unix.EINPROGRESS {
		return Scouted{Err: p.failed(err)}, true
	}
	if err == nil {
		if got, done := p.arrived(); done {
			return got, true
		}
	}
	if err := s.add(p); err != nil {
		return Scouted{Err: p.failed(err)}, true
	}
	return Scouted{}, false
}

// dial begins to connect; unix.EINPROGRESS: it goes on.
func (p *party) dial() (err error) {
	at := p.at()
	family, network, to := unix.AF_INET6, "tcp6", unix.Sockaddr(&unix.SockaddrInet6{Port: int(at.Port()), Addr: at.Addr().As16()})
	if at.Addr().Is4() {
		family, network, to = unix.AF_INET, "tcp4", &unix.SockaddrInet4{Port: int(at.Port()), Addr: at.Addr().As4()}
	}
	p.fd, err = unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil { // p.fd is -1
		return os.NewSyscallError("socket", err)
	}
	if err := p.Via.d.permit(network, at, rawFD(p.fd)); err != nil {
		return err
	}
	for {
		if err = unix.Connect(p.fd, to); err != unix.EINTR {
			break
		}
	}
	if err != nil && err != unix.EINPROGRESS {
		return os.NewSyscallError("connect", err)
	}
	return err
}

// rawFD is what a hook sees of a socket.
type rawFD int

func (f rawFD) Control(look func(fd uintptr)) error { look(uintptr(f)); return nil }
func (f rawFD) Read(func(fd uintptr) bool) error    { return errors.ErrUnsupported }
func (f rawFD) Write(func(fd uintptr) bool) error   { return errors.ErrUnsupported }

// arrived notes that the connection is made and sends the opening; done when there is nothing to wait for.
func (p *party) arrived() (got Scouted, done bool) {
	p.connectEnded()
	if p.toItself() {
		return Scouted{Err: p.failed(os.NewSyscallError("connect", unix.ECONNREFUSED))}, true
	}
	p.said = time.Now()
	p.connect = max(p.said.Sub(p.made), 1)
	if len(p.opening) == 0 {
		return p.handOver(), true
	}
	n, err := unix.Write(p.fd, p.opening)
	if err != nil && err != unix.EAGAIN && err != unix.EINTR {
		return Scouted{Err: p.failed(os.NewSyscallError("write", err))}, true
	}
	if n = max(n, 0); n < len(p.opening) { // hardly ever: the rest is for those who wait for room
		p.opening = p.opening[:n]
		return p.handOver(), true
	}
	return Scouted{}, false
}

// handOver makes a connection of the socket, which ends the party.
func (p *party) handOver() Scouted {
	if p.watched != nil { // or the copy would be reported under this number
		_ = p.watched.watch(unix.EPOLL_CTL_DEL, p.fd, 0)
	}
	f := os.NewFile(uintptr(p.fd), "tcp")
	raw, err := net.FileConn(f) // of a copy of the descriptor
	_ = f.Close()
	if err != nil {
		stage := proxy.StageConnect
		if len(p.opening) > 0 {
			stage = proxy.StageHandshake
		}
		return Scouted{Err: newError(stage, p.phases(), err)}
	}
	return Scouted{Nudged: p.nudged, Conn: &Conn{Conn: raw, raw: raw, made: p.made, phases: proxy.Phases{Connect: p.connect}, said: p.opening, saidAt: p.said}}
}

// phases is how long the steps have taken until now.
func (p *party) phases() proxy.Phases {
	if p.connect == 0 {
		return proxy.Phases{Connect: time.Since(p.made)}
	}
	return proxy.Phases{Connect: p.connect, Handshake: time.Since(p.said)}
}

// connectEnded tells the foray, once.
func (p *party) connectEnded() {
	if !p.told {
		p.told = true
		p.foray.Connected()
	}
}

// failed ends the party at the step where it is.
func (p *party) failed(err error) *Error {
	p.connectEnded()
	if p.fd >= 0 {
		unix.Close(p.fd)
	}
	if p.connect == 0 {
		return newError(proxy.StageConnect, p.phases(), &connectError{p.at(), err})
	}
	return newError(proxy.StageHandshake, p.phases(), err)
}

// add has the scout look after a party from now on.
func (s *Scout) add(p *party) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return context.Canceled
	}
	if err := s.watch(unix.EPOLL_CTL_ADD, p.fd, awaited); err != nil {
		return err
	}
	p.watched, s.out[p.fd] = s, p
	s.begins(p, time.Now())
	return nil
}

// awaited is what is reported of a socket, once each time that it comes about: that
// it is connected, that there is something to read, or that it has come to an end.
const awaited = unix.EPOLLOUT | heard | unix.EPOLLET

// heard is what the other side has to do with.
const heard = unix.EPOLLIN | unix.EPOLLRDHUP | unix.EPOLLHUP | unix.EPOLLERR

// watch changes what is waited for.
func (s *Scout) watch(op, fd int, want uint32) (err error) {
	lost := s.raw.Control(func(epoll uintptr) {
		err = os.NewSyscallError("epoll_ctl", unix.EpollCtl(int(epoll), op, fd, &unix.EpollEvent{Events: want, Fd: int32(fd)}))
	})
	return cmp.Or(err, lost)
}

// begins has a step of p end in time. s.mu is held.
func (s *Scout) begins(p *party, now time.Time) {
	p.lookLater(now)
	if s.look.IsZero() || p.due.Before(s.look) {
		s.lookAt(p.due)
	}
}

// lookAt sets when the time-outs are looked at. s.mu is held.
func (s *Scout) lookAt(t time.Time) {
	s.look = t
	if !s.closed {
		_ = s.epoll.SetReadDeadline(t) // fails only when it has ended
	}
}

// lookLater sets when p is looked at next, and returns how long its step may
// still take: nothing when its time is over.
func (p *party) lookLater(now time.Time) time.Duration {
	step, began := proxy.StageConnect, p.made
	if p.connect > 0 {
		step, began = proxy.StageHandshake, p.said
	}
	rest := p.foray.Limit(step) - now.Sub(began)
	next := min(rest, maxLook)
	if p.Nudge > 0 && !p.nudged && p.connect > 0 {
		next = min(next, p.Nudge-now.Sub(began))
	}
	p.due = now.Add(max(next, minLook))
	return rest
}

// run is the scout's goroutine.
func (s *Scout) run() {
	defer close(s.ended)
	defer s.epoll.Close()
	events := make([]unix.EpollEvent, 256)
	n := 0
	wait := func(epoll uintptr) bool {
		n, _ = unix.EpollWait(int(epoll), events, 0)
		n = max(n, 0)
		return n > 0
	}
	tell := func() {
		for _, e := range events[:n] {
			s.happened(int(e.Fd), e.Events)
		}
	}
	for {
		if s.raw.Read(wait) == nil {
			tell()
			continue
		}
		// It is time to look at the time-outs. Who has an answer is not late, however long it took to see it.
		for n = len(events); n == len(events); {
			_ = s.raw.Control(func(epoll uintptr) { wait(epoll) })
			tell()
		}
		if !s.lookAround(time.Now()) {
			return
		}
	}
}

// happened takes up what the system reports of a socket.
func (s *Scout) happened(fd int, events uint32) {
	s.mu.Lock()
	p := s.out[fd]
	s.mu.Unlock()
	if p == nil {
		return
	}
	var got Scouted
	done := false
	if p.connect == 0 {
		got, done = s.connected(p)
	}
	if !done && events&heard == 0 {
		return
	}
	s.forget(p)
	if got.Conn == nil && got.Err == nil { // it has an answer
		got = p.handOver()
	}
	p.foray.Done(got)
}

// connected is called when connecting has ended in one way or the other.
func (s *Scout) connected(p *party) (got Scouted, done bool) {
	errno, err := unix.GetsockoptInt(p.fd, unix.SOL_SOCKET, unix.SO_ERROR)
	switch {
	case err != nil:
		err = os.NewSyscallError("getsockopt", err)
	case errno != 0:
		err = os.NewSyscallError("connect", syscall.Errno(errno))
	}
	if err != nil {
		return Scouted{Err: p.failed(err)}, true
	}
	if got, done = p.arrived(); done {
		return got, true
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.begins(p, p.said)
	return Scouted{}, false
}

// at is where p goes.
func (p *party) at() netip.AddrPort {
	return netip.AddrPortFrom(p.Via.ep.Addr().Unmap(), p.Via.ep.Port)
}

// toItself reports whether a socket was connected to itself, as happens when the
// system gives it the very port of this machine that it goes to (net.selfConnect):
// nobody listens there.
func (p *party) toItself() bool {
	own, err := unix.Getsockname(p.fd)
	if err != nil {
		return false
	}
	switch own := own.(type) {
	case *unix.SockaddrInet4:
		return netip.AddrPortFrom(netip.AddrFrom4(own.Addr), uint16(own.Port)) == p.at()
	case *unix.SockaddrInet6:
		return netip.AddrPortFrom(netip.AddrFrom16(own.Addr), uint16(own.Port)) == p.at()
	}
	return false
}

// forget takes a party off the list.
func (s *Scout) forget(p *party) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.out[p.fd] == p { // and not another one whose socket has the same number already
		delete(s.out, p.fd)
	}
}

// lookAround ends those whose time is over, all when the scout is closed, and
// says when to look next; false: that was the last time.
func (s *Scout) lookAround(now time.Time) bool {
	s.mu.Lock()
	closed := s.closed
	var late, mute []*party
	var look time.Time
	for _, p := range s.out {
		if !closed && p.due.After(now) {
			// not yet
		} else if closed || p.lookLater(now) <= 0 {
			delete(s.out, p.fd)
			late = append(late, p)
			continue
		} else if p.Nudge > 0 && !p.nudged && p.connect > 0 && now.Sub(p.said) >= p.Nudge {
			mute = append(mute, p)
		}
		if look.IsZero() || p.due.Before(look) {
			look = p.due
		}
	}
	if soonest := now.Add(minLook); len(s.out) > 0 && look.Before(soonest) {
		look = soonest
	}
	s.lookAt(look)
	s.mu.Unlock()
	for _, p := range mute {
		p.nudged = true
		_, _ = unix.Write(p.fd, []byte(Nudge)) // if it fails, so will the wait
	}
	slices.SortFunc(late, func(a, b *party) int { return a.made.Compare(b.made) })
	for _, p := range late {
		p.foray.Done(Scouted{Nudged: p.nudged, Err: p.over(closed)})
	}
	return !closed
}

// connectError says where a connect failed.
type connectError struct {
	at  netip.AddrPort
	err error
}

func (e *connectError) Error() string { return fmt.Sprintf("dial tcp %s: %v", e.at, e.err) }
func (e *connectError) Unwrap() error { return e.err }

// over ends a party whose time is over, or that is called off.
func (p *party) over(off bool) *Error {
	err := context.DeadlineExceeded
	if off {
		err = context.Canceled
	}
	if p.connect > 0 {
		// A RST lets both sides forget it at once; a FIN would have to be confirmed by who is silent.
		_ = unix.SetsockoptLinger(p.fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1})
	}
	return p.failed(err)
}
