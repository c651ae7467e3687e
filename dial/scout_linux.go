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

// The time-outs of those who are out are looked at when the next one ends, but at
// least as often as maxLook, since they may change, and not more often than minLook.
const (
	minLook = 20 * time.Millisecond
	maxLook = 100 * time.Millisecond
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
	nudged  bool
	watched *Scout // whose epoll has the socket; nil: none
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
	connected := false
	defer func() {
		if !connected && (done || p.fd < 0) { // it failed, or panicked
			f.Connected()
		}
	}()
	if r.To != nil {
		p.opening = r.Via.opening(*r.To)
	}
	err := p.dial()
	if err != nil && err != unix.EINPROGRESS {
		return Scouted{Err: p.failed(proxy.StageConnect, err)}, true
	}
	want := uint32(unix.EPOLLOUT)
	if err == nil {
		connected = true
		if got, done := p.arrived(); done {
			return got, true
		}
		want = unix.EPOLLIN
	}
	if err := s.add(p, want); err != nil {
		stage := proxy.StageConnect
		if connected {
			stage = proxy.StageHandshake
		}
		return Scouted{Err: p.failed(stage, err)}, true
	}
	return Scouted{}, false
}

// dial begins to connect; unix.EINPROGRESS: it goes on.
func (p *party) dial() error {
	at := p.at()
	family, network, to := unix.AF_INET6, "tcp6", unix.Sockaddr(&unix.SockaddrInet6{Port: int(at.Port()), Addr: at.Addr().As16()})
	if at.Addr().Is4() {
		family, network, to = unix.AF_INET, "tcp4", &unix.SockaddrInet4{Port: int(at.Port()), Addr: at.Addr().As4()}
	}
	fd, err := unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return os.NewSyscallError("socket", err)
	}
	asked := false
	defer func() {
		if !asked {
			unix.Close(fd)
		}
	}()
	if err := p.Via.d.control(network, at.String(), rawFD(fd)); err != nil {
		return err
	}
	asked = true
	p.fd = fd
	for {
		if err = unix.Connect(fd, to); err != unix.EINTR {
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
	p.said = time.Now()
	p.connect = max(p.said.Sub(p.made), 1)
	p.foray.Connected()
	if len(p.opening) == 0 {
		return p.handOver(), true
	}
	n, err := unix.Write(p.fd, p.opening)
	if err != nil && err != unix.EAGAIN && err != unix.EINTR {
		return Scouted{Err: p.failed(proxy.StageHandshake, os.NewSyscallError("write", err))}, true
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

// failed ends the party.
func (p *party) failed(stage proxy.Stage, err error) *Error {
	if p.fd >= 0 {
		unix.Close(p.fd)
	}
	if stage == proxy.StageConnect {
		err = fmt.Errorf("dial tcp %s: %w", p.at(), err)
	}
	return newError(stage, p.phases(), err)
}

// add has the scout look after a party from now on.
func (s *Scout) add(p *party, want uint32) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return context.Canceled
	}
	if err := s.watch(unix.EPOLL_CTL_ADD, p.fd, want); err != nil {
		return err
	}
	p.watched, s.out[p.fd] = s, p
	now := time.Now()
	if next := now.Add(max(p.rest(now), minLook)); s.look.IsZero() || next.Before(s.look) {
		s.lookAt(next)
	}
	return nil
}

// watch changes what is waited for.
func (s *Scout) watch(op, fd int, want uint32) (err error) {
	lost := s.raw.Control(func(epoll uintptr) {
		err = os.NewSyscallError("epoll_ctl", unix.EpollCtl(int(epoll), op, fd, &unix.EpollEvent{Events: want, Fd: int32(fd)}))
	})
	return cmp.Or(err, lost)
}

// lookAt sets when the time-outs are looked at. s.mu is held.
func (s *Scout) lookAt(t time.Time) {
	s.look = t
	if !s.closed {
		_ = s.epoll.SetReadDeadline(t) // fails only when it has ended
	}
}

// rest returns how long the step that p is at may still take, or until it is nudged.
func (p *party) rest(now time.Time) time.Duration {
	if p.connect == 0 {
		return p.foray.Limit(proxy.StageConnect) - now.Sub(p.made)
	}
	rest := p.foray.Limit(proxy.StageHandshake) - now.Sub(p.said)
	if p.Nudge > 0 && !p.nudged {
		rest = min(rest, p.Nudge-now.Sub(p.said))
	}
	return rest
}

// run is the scout's goroutine.
func (s *Scout) run() {
	defer close(s.ended)
	defer s.epoll.Close()
	events := make([]unix.EpollEvent, 256)
	for {
		n := 0
		err := s.raw.Read(func(epoll uintptr) bool {
			var err error
			if n, err = unix.EpollWait(int(epoll), events, 0); err != nil {
				n = 0
			}
			return n > 0
		})
		for _, e := range events[:n] {
			s.happened(int(e.Fd))
		}
		if err != nil && !s.lookAround(time.Now()) { // the deadline, which comes before everything else
			return
		}
	}
}

// happened takes up what the system reports of a socket.
func (s *Scout) happened(fd int) {
	s.mu.Lock()
	p := s.out[fd]
	s.mu.Unlock()
	if p == nil {
		return
	}
	var got Scouted
	done := true
	if p.connect == 0 {
		got, done = s.connected(p)
	}
	if !done {
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
		p.foray.Connected()
		return Scouted{Err: p.failed(proxy.StageConnect, err)}, true
	}
	if got, done = p.arrived(); done {
		return got, true
	}
	if err := s.watch(unix.EPOLL_CTL_MOD, p.fd, unix.EPOLLIN); err != nil {
		return Scouted{Err: p.failed(proxy.StageHandshake, err)}, true
	}
	return Scouted{}, false
}

// at is where p goes.
func (p *party) at() netip.AddrPort {
	return netip.AddrPortFrom(p.Via.ep.Addr().Unmap(), p.Via.ep.Port)
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
	next := maxLook
	var late, mute []*party
	for _, p := range s.out {
		switch rest := p.rest(now); {
		case closed:
			late = append(late, p)
		case rest > 0:
			next = min(next, rest)
		case p.Nudge > 0 && !p.nudged && p.connect > 0 && now.Sub(p.said) < p.foray.Limit(proxy.StageHandshake):
			mute = append(mute, p)
		default:
			late = append(late, p)
		}
	}
	for _, p := range late {
		delete(s.out, p.fd)
	}
	if s.look = (time.Time{}); len(s.out) > 0 {
		s.lookAt(now.Add(max(next, minLook)))
	} else if !closed {
		_ = s.epoll.SetReadDeadline(time.Time{})
	}
	s.mu.Unlock()
	for _, p := range mute {
		p.nudged = true
		_, _ = unix.Write(p.fd, []byte("\r\n\r\n")) // if it fails, so will the wait
	}
	slices.SortFunc(late, func(a, b *party) int { return a.made.Compare(b.made) })
	for _, p := range late {
		p.foray.Done(Scouted{Nudged: p.nudged, Err: p.over(closed)})
	}
	return !closed
}

// over ends a party whose time is over, or that is called off.
func (p *party) over(off bool) *Error {
	err := context.DeadlineExceeded
	if off {
		err = context.Canceled
	}
	if p.connect == 0 {
		p.foray.Connected()
		return p.failed(proxy.StageConnect, err)
	}
	return p.failed(proxy.StageHandshake, err)
}
