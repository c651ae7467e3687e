package lab

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"runtime"
	"time"
)

// Ports are drawn from below the usual ephemeral ranges, so that no outgoing
// connection of anybody sits on them.
const (
	minPort   = 10_000
	maxPort   = 32_000
	portTries = 500
)

// plumbing is where upstreams get their addresses and sockets from. One
// goroutine uses it at a time.
type plumbing struct {
	mode    Addressing
	rng     *rand.Rand // of ports
	shared  []uint16   // the ports at which upstreams listen, except in PerPort
	dead    uint16     // the port at which nothing listens, on any address; 0: not reserved yet
	mute    uint16     // the port whose backlog is full, on any address (Wildcard); 0: not open yet
	sockets int        // opened for single upstreams
	limit   int        // of those
	hosts   map[netip.Addr]bool
	taken   map[netip.AddrPort]bool
}

// newPlumbing draws ports by the seed.
func newPlumbing(seed uint64, limit int) *plumbing {
	return &plumbing{
		rng: rand.New(rand.NewPCG(seed, 1<<63)), limit: limit,
		hosts: map[netip.Addr]bool{localhost: true}, taken: map[netip.AddrPort]bool{},
	}
}

// errNoSockets says that the limit on open files is reached.
var errNoSockets = errors.New("no more sockets: the limit on open files is reached")

// drawPort finds a port for which open succeeds.
func (p *plumbing) drawPort(open func(port uint16) error) (uint16, error) {
	var err error
	for range portTries {
		port := uint16(minPort + p.rng.IntN(maxPort-minPort))
		if err = open(port); err == nil {
			return port, nil
		}
	}
	return 0, fmt.Errorf("no free port: %w", err)
}

// drawHost draws an address of its own from 127.16.0.0 to 127.99.255.254; the
// rest is left to others (127.0 and 127.1 to the system, 127.9 to other peers in tests).
func (p *plumbing) drawHost(rng *rand.Rand) netip.Addr {
	for {
		a := netip.AddrFrom4([4]byte{127, byte(16 + rng.IntN(84)), byte(rng.IntN(256)), byte(1 + rng.IntN(254))})
		if !p.hosts[a] {
			p.hosts[a] = true
			return a
		}
	}
}

// openShared opens the mode's common sockets; Auto becomes the first mode that works.
func (l *Lab) openShared(want Addressing, ports int) error {
	if want == Auto {
		err := l.openShared(Wildcard, ports)
		if err != nil && runtime.GOOS == "linux" {
			err = l.openShared(PerAddress, ports)
		}
		if err != nil {
			err = l.openShared(PerPort, ports)
		}
		return err
	}
	l.mode, l.shared = want, nil
	if want == PerPort {
		return nil
	}
	for range ports {
		port, err := l.drawPort(func(port uint16) error {
			if want == Wildcard {
				return l.listen(netip.AddrPortFrom(netip.IPv4Unspecified(), port))
			}
			ln, err := net.Listen("tcp4", netip.AddrPortFrom(probeHost, port).String())
			if err == nil {
				ln.Close()
			}
			return err
		})
		if err != nil {
			return err
		}
		l.shared = append(l.shared, port)
	}
	return nil
}

// probeHost is used to see whether addresses other than 127.0.0.1 can be bound.
var probeHost = netip.AddrFrom4([4]byte{127, 16, 0, 1})

// listen opens a listener and serves it: each client gets the upstream at the address that it dialled.
func (l *Lab) listen(ap netip.AddrPort) error {
	ln, err := bind(ap)
	if err != nil {
		return err
	}
	if !l.scope.keep(ln) || !l.scope.spawn(func() { l.accept(ln) }) {
		return net.ErrClosed
	}
	return nil
}

// bind opens a listener; one on all addresses is tied to the loopback device,
// without exception: the lab must not be reachable from outside.
func bind(ap netip.AddrPort) (*net.TCPListener, error) {
	lc := net.ListenConfig{KeepAlive: -1}
	if ap.Addr().IsUnspecified() {
		lc.Control = tieToLoopback
	}
	ln, err := lc.Listen(context.Background(), "tcp4", ap.String())
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w", ap, err)
	}
	return ln.(*net.TCPListener), nil
}

// accept hands connections out; it survives everything but the end of the listener.
func (l *Lab) accept(ln *net.TCPListener) {
	for {
		c, err := ln.AcceptTCP()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			l.log.Warn("lab: accept", "err", err)
			if !l.scope.sleep(acceptPause) {
				return
			}
			continue
		}
		n := l.nodeAt(unmap(c.LocalAddr().(*net.TCPAddr).AddrPort()))
		if n == nil {
			c.SetLinger(0) // nobody lives there
			c.Close()
		} else if !l.scope.spawn(func() { l.serve(c, n) }) {
			c.Close()
		}
	}
}

// place gives n an address and whatever listens there.
func (l *Lab) place(n *node, host netip.Addr) error {
	if l.mode == PerPort {
		host = localhost
	}
	any := netip.IPv4Unspecified()
	switch {
	case n.Behaviour == Refused && l.mode != PerPort:
		return l.placeShared(n, host, &l.dead, func(port uint16) error {
			r, err := reserve(netip.AddrPortFrom(any, port))
			return l.own(r, err)
		})
	case n.Behaviour == SilentConnect && l.mode == Wildcard:
		return l.placeShared(n, host, &l.mute, func(port uint16) error { return l.listenFull(netip.AddrPortFrom(any, port)) })
	case l.mode == Wildcard:
		return l.placeWildcard(n, host)
	}
	if l.sockets >= l.limit {
		return errNoSockets
	}
	l.sockets++
	if l.mode == PerPort {
		_, err := l.drawPort(func(port uint16) error { return l.open(n, netip.AddrPortFrom(host, port)) })
		return err
	}
	return l.placeAlone(n, host)
}

// own keeps a socket until the end, unless it could not be opened.
func (l *Lab) own(r *reserved, err error) error {
	if err == nil && !l.scope.keep(r) {
		err = net.ErrClosed
	}
	return err
}

// placeShared puts n at a port that all of its kind share, opened for the first of them.
func (l *Lab) placeShared(n *node, host netip.Addr, port *uint16, open func(uint16) error) error {
	if *port == 0 {
		p, err := l.drawPort(open)
		if err != nil {
			return err
		}
		*port = p
	}
	return l.settle(n, netip.AddrPortFrom(host, *port))
}

// placeWildcard puts n at one of the shared ports.
func (l *Lab) placeWildcard(n *node, host netip.Addr) error {
	first := n.rng.IntN(len(l.shared))
	for i := range l.shared {
		ap := netip.AddrPortFrom(host, l.shared[(first+i)%len(l.shared)])
		if !l.taken[ap] {
			return l.settle(n, ap)
		}
	}
	return fmt.Errorf("%s: all %d ports are taken", host, len(l.shared))
}

// placeAlone gives n a socket on its address, preferably at one of the shared ports.
func (l *Lab) placeAlone(n *node, host netip.Addr) error {
	first := n.rng.IntN(len(l.shared))
	for i := range l.shared {
		ap := netip.AddrPortFrom(host, l.shared[(first+i)%len(l.shared)])
		if !l.taken[ap] && l.open(n, ap) == nil {
			return nil
		}
	}
	_, err := l.drawPort(func(port uint16) error { return l.open(n, netip.AddrPortFrom(host, port)) })
	return err
}

// open makes n's own socket, of the kind that its behaviour needs.
func (l *Lab) open(n *node, ap netip.AddrPort) error {
	if l.taken[ap] {
		return errors.New("taken")
	}
	var err error
	switch n.Behaviour {
	case Refused:
		var r *reserved
		r, err = reserve(ap)
		err = l.own(r, err)
	case SilentConnect:
		err = l.listenFull(ap)
	default:
		err = l.listen(ap)
	}
	if err != nil {
		return err
	}
	return l.settle(n, ap)
}

// settle notes where n is.
func (l *Lab) settle(n *node, ap netip.AddrPort) error {
	if l.taken[ap] {
		return fmt.Errorf("%s is taken", ap)
	}
	l.taken[ap] = true
	n.addr = ap
	return nil
}

// listenFull opens a listener from which nothing is ever accepted, and fills
// its backlog, so that further connects get no answer.
func (l *Lab) listenFull(ap netip.AddrPort) error {
	ln, err := bind(ap)
	if err != nil {
		return err
	}
	if !l.scope.keep(ln) {
		return net.ErrClosed
	}
	if err := shrinkBacklog(ln); err != nil {
		return fmt.Errorf("backlog of %s: %w", ap, err)
	}
	to := ap
	if ap.Addr().IsUnspecified() {
		to = netip.AddrPortFrom(probeHost, ap.Port())
	}
	return l.fill(to)
}

// maxBacklog is where filling a backlog is given up.
const maxBacklog = 256

// fill connects until connects are no longer answered. On Linux that is one
// connection; it stays in the queue although this end closes.
func (l *Lab) fill(to netip.AddrPort) error {
	d := net.Dialer{Timeout: fillTime, KeepAlive: -1, Control: exitControl}
	for range maxBacklog {
		c, err := d.DialContext(l.scope, "tcp4", to.String())
		if err != nil {
			break // full, by silence or, where the system does so, by refusal
		}
		c.Close()
		if runtime.GOOS == "linux" {
			break
		}
	}
	return l.scope.Err()
}

// fillTime is how long a connect to a full backlog is waited for.
const fillTime = 250 * time.Millisecond
