package lab

import (
	"math"
	"math/rand/v2"
	"net"
	"net/netip"
	"sync"
	"time"

	"freeway/proxy"
)

// node is an upstream that exists. Everything but the fields under mu is fixed once it is listed.
type node struct {
	Upstream
	ep     proxy.Endpoint
	addr   netip.AddrPort // where it listens
	home   netip.Addr     // the address that it has or, in PerPort, pretends to have
	exits  []netip.Addr   // where it leaves from; several for RotatingExit
	born   time.Time
	plan   *plan      // nil: always up
	down   Behaviour  // what it does while it is down
	banner []byte     // of Garbage
	lie    netip.Addr // what a LyingExit says

	mu    sync.Mutex // protects the fields below, and plan
	rng   *rand.Rand
	as    Behaviour // Upstream.Behaviour until Lab.Switch changes it
	conns map[*net.TCPConn]bool
	total int // connections so far
}

// complete fills in what the zero values of u mean.
func (u Upstream) complete() Upstream {
	if u.Protocol == 0 {
		u.Protocol = proxy.HTTP
	}
	if u.Behaviour == Slow && u.Latency == 0 {
		u.Latency = 30 * time.Second
	}
	if u.MaxLatency == 0 {
		u.MaxLatency = min(10*time.Second, 8*u.Latency)
		u.MaxLatency = max(u.MaxLatency, u.Latency)
	}
	return u
}

// newNode draws everything about an upstream from its own source of randomness,
// in a fixed order, so that no other upstream influences it.
func newNode(u Upstream, rng *rand.Rand) *node {
	n := &node{Upstream: u.complete(), rng: rng, as: u.Behaviour, conns: map[*net.TCPConn]bool{}}
	n.down = []Behaviour{Silent, Silent, Silent, Silent, Silent, Silent, Silent, Refused, Refused, Garbage}[rng.IntN(10)] // as the dead among public proxies: 70 % silent, 20 % refused, 10 % garbage
	n.banner = newBanner(rng)
	n.lie = netip.AddrFrom4([4]byte{127, byte(100 + rng.IntN(100)), byte(rng.IntN(256)), byte(1 + rng.IntN(254))})
	if n.as.scheduled() {
		n.plan = newPlan(n.as, rand.New(rand.NewPCG(rng.Uint64(), rng.Uint64())))
	}
	return n
}

// latency draws how long the next answer takes.
func (n *node) latency() time.Duration {
	if n.Latency == 0 || n.Spread == 0 {
		return n.Latency
	}
	n.mu.Lock()
	f := math.Exp(n.Spread * n.rng.NormFloat64())
	n.mu.Unlock()
	return min(time.Duration(float64(n.Latency)*f), n.MaxLatency)
}

// exit draws where the next connection leaves from.
func (n *node) exit() netip.Addr {
	if len(n.exits) == 1 {
		return n.exits[0]
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.exits[n.rng.IntN(len(n.exits))]
}

// mood is what the node is for a connection that begins now.
func (n *node) mood(now time.Time) Behaviour {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.as.scheduled() {
		if up, _ := n.plan.at(now); !up {
			return n.down
		}
	}
	if n.as != Flaky {
		return n.as
	}
	switch x := n.rng.Float64(); {
	case x < flakyPart/2:
		return Refused
	case x < flakyPart:
		return ResetMidBody
	}
	return Healthy
}

// gone reports whether an upstream with a schedule is down now.
func (n *node) gone(now time.Time) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	if !n.as.scheduled() {
		return false
	}
	up, _ := n.plan.at(now)
	return !up
}

// enter counts a connection in.
func (n *node) enter(c *net.TCPConn) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.total++
	n.conns[c] = true
}

// leave counts a connection out.
func (n *node) leave(c *net.TCPConn) {
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.conns, c)
}

// become changes what the node is and resets its connections.
func (n *node) become(b Behaviour) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.as = b
	for c := range n.conns {
		c.SetLinger(0)
		c.Close()
	}
}

// flakyPart is how many of a Flaky upstream's connections fail.
const flakyPart = 0.3

// newBanner draws what a Garbage upstream says.
func newBanner(rng *rand.Rand) []byte {
	banners := []string{
		"SSH-2.0-OpenSSH_9.6\r\n",
		"220 mail.lab.test ESMTP ready\r\n",
		"220 (vsFTPd 3.0.5)\r\n",
		"-ERR unknown command\r\n",
		"\x15\x03\x01\x00\x02\x02\x46", // a TLS alert: protocol_version
		"RFB 003.008\n",
		"<html>no status line</html>\n",
	}
	if k := rng.IntN(len(banners) + 2); k < len(banners) {
		return []byte(banners[k])
	}
	noise := make([]byte, 64)
	for i := range noise {
		noise[i] = byte(rng.Uint32())
	}
	noise[0] |= 0x80 // never 0, 4 or 5, with which SOCKS answers begin, nor H
	return noise
}
