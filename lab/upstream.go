package lab

import (
	"errors"
	"net/netip"
	"time"

	"freeway/proxy"
)

// Upstream describes one upstream for Lab.Add. The zero value is a healthy HTTP proxy.
type Upstream struct {
	Protocol  proxy.Protocol // 0: HTTP
	Behaviour Behaviour
	// Latency is the median time from a request, CONNECT or SOCKS request to its answer; 0: none, for Slow 30 s.
	Latency time.Duration
	// Spread is the sigma of the lognormal distribution around Latency; 0: exactly Latency each time. Cut at MaxLatency.
	Spread float64
	// MaxLatency bounds what is drawn; 0: 10 s or 8 times Latency, whichever is less.
	MaxLatency time.Duration
	// User and Password are demanded when User is not empty; SOCKS4 compares User only.
	User, Password string
	// Exit is the loopback address that it leaves from; zero: its own.
	Exit netip.Addr
	// Host is the loopback address that it listens on; zero: one of its own. Ignored in PerPort.
	Host netip.Addr
	// RefuseNames makes it refuse host names: a SOCKS4 server without 4a, a SOCKS5 server without DNS.
	RefuseNames bool
}

// check says what is wrong with u.
func (u Upstream) check() error {
	switch {
	case u.Protocol > proxy.SOCKS5:
		return errors.New("no such protocol")
	case int(u.Behaviour) >= len(behaviourNames):
		return errors.New("no such behaviour")
	case u.Latency < 0 || u.MaxLatency < 0 || !(u.Spread >= 0):
		return errors.New("a negative time")
	case u.Exit.IsValid() && !u.Exit.Unmap().IsLoopback() || u.Host.IsValid() && !u.Host.Unmap().IsLoopback():
		return errors.New("host and exit have to be loopback addresses")
	case u.Password != "" && u.User == "":
		return errors.New("a password without a user")
	}
	return nil
}
