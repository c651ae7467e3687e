package lab

import (
	"net"
	"net/netip"
	"time"
)

// dial reaches a target from an exit. In PerPort the exit is only registered, not real.
func (l *Lab) dial(exit netip.Addr, to netip.AddrPort) (*link, error) {
	end := l.exits.begin()
	c, err := l.dialer(exit, to).DialContext(l.scope, "tcp", to.String())
	if err != nil {
		end(path{}, exit)
		return nil, err
	}
	tc := c.(*net.TCPConn)
	p := path{}
	if l.servers.own(to) {
		p = path{unmap(tc.LocalAddr().(*net.TCPAddr).AddrPort()), to}
	}
	end(p, exit)
	if !l.scope.keep(tc) {
		return nil, net.ErrClosed
	}
	return newLink(tc), nil
}

// dialer binds to the exit where exits are real. IPv6 targets (::1, with
// AllowLoopback) see ::1, for there is only that one address.
func (l *Lab) dialer(exit netip.Addr, to netip.AddrPort) *net.Dialer {
	d := &net.Dialer{Timeout: dialTime, KeepAlive: -1, Control: exitControl}
	if l.mode != PerPort && to.Addr().Is4() {
		d.LocalAddr = &net.TCPAddr{IP: exit.AsSlice()}
	}
	return d
}

// dialTime is the deadline of dials, all of which stay on this machine.
const dialTime = 5 * time.Second
