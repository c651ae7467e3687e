package gateway

import (
	"errors"
	"io"
	"math"
	"net"
	"os"
	"runtime"
	"sync/atomic"
	"time"

	"freeway/dial"
)

const (
	spliceTurn  = time.Second // that the system moves bytes before they are counted
	spliceMost  = 32          // tunnels at a time: each has a pipe of two descriptors, which holds up to 1 MiB
	spliceShare = 32          // of the connections that there may be, for one such tunnel
)

// splice has the system move what comes from an upstream to the client (splice(2),
// by package net), which takes half of the CPU time of reading and writing it. It is
// for tunnels that have filled the largest buffer, that is, whose bytes come faster than
// the gateway moves them, and that nothing is learned from any more: how the use
// went is settled, so records need not be followed, and the user has no
// bandwidth or daily bytes that must be obeyed to the byte. A tunnel that falls silent
// for a turn gives its pipe back and has to prove busy again.
type splice struct {
	f    *flow
	to   *net.TCPConn
	from *net.TCPConn
}

// splicing returns how the system can move what comes from the leg; nil: it cannot, or
// shall not now. It must be ended with done.
func (f *flow) splicing(dst net.Conn, from *source, l *leg) *splice {
	if runtime.GOOS != "linux" || from.size != hugeSize || l == nil || !l.t.settled || f.x.pace != nil || f.x.user != nil && f.x.user.daily > 0 {
		return nil
	}
	s := &splice{f: f, to: tcpOf(dst), from: tcpOf(from.conn)}
	if s.to == nil || s.from == nil {
		return nil
	}
	g := f.x.c.g
	if g.splices.Add(1) > int64(min(spliceMost, f.x.s.maxConns/spliceShare)) {
		g.splices.Add(-1)
		return nil
	}
	return s
}

// done gives the place to another tunnel.
func (s *splice) done() { s.f.x.c.g.splices.Add(-1) }

// run moves bytes until the source ends, either side fails, or nothing comes for a turn,
// which goOn says. Which side failed cannot be told, and makes no difference to the client.
func (s *splice) run(count *atomic.Int64) (goOn bool, err error) {
	f := s.f
	turn := min(f.x.c.g.spliceTurn, f.idle/2)
	for {
		began := time.Now()
		_ = s.from.SetReadDeadline(began.Add(turn))
		_ = s.to.SetWriteDeadline(began.Add(f.idle))
		n, err := s.to.ReadFrom(&io.LimitedReader{R: s.from, N: math.MaxInt64})
		now := time.Now()
		count.Add(n)
		f.x.c.g.spliced.Add(n)
		if n > 0 {
			f.lastMoved.Store(now.UnixNano())
		}
		switch {
		case err == nil:
			return false, nil
		case !errors.Is(err, os.ErrDeadlineExceeded), now.Sub(began) >= f.idle: // the client takes nothing
			return false, err
		case n == 0:
			return f.restIdle(s.from, nil), err
		}
	}
}

// tcpOf returns the TCP connection below, nil where there is more to it.
func tcpOf(c net.Conn) *net.TCPConn {
	if up, ok := c.(*dial.Conn); ok {
		return up.TCP()
	}
	t, _ := c.(*net.TCPConn)
	return t
}
