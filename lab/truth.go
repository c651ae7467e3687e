package lab

import (
	"net/netip"
	"time"

	"freeway/proxy"
)

// Truth is what is really so about one upstream at one moment.
type Truth struct {
	Endpoint  proxy.Endpoint  `json:"endpoint"`
	Protocol  proxy.Protocol  `json:"protocol"`
	Behaviour Behaviour       `json:"behaviour"`
	Up        bool            `json:"up"`         // it works now, to the end, unchanged and in reasonable time
	UpSince   time.Time       `json:"up_since"`   // real time; zero when not up
	Maybe     bool            `json:"maybe"`      // not up, but with luck (Flaky), patience (Slow) or modesty (SOCKS with ConnectForbidden) a check may pass
	Exit      netip.Addr      `json:"exit"`       // the address that targets see
	Exits     []netip.Addr    `json:"exits"`      // all of them, when there are several
	Forward   bool            `json:"forward"`    // plain HTTP in absolute form comes back right (never for SOCKS)
	Tunnel    bool            `json:"tunnel"`     // tunnels to port 443 work
	TunnelAny bool            `json:"tunnel_any"` // and to other ports
	RemoteDNS bool            `json:"remote_dns"` // it resolves names
	Anonymity proxy.Anonymity `json:"anonymity"`  // of plain HTTP
	Tampers   string          `json:"tampers"`    // "content", "tls", "exit"; "" for nothing
	Latency   time.Duration   `json:"latency_ns"` // median
	Uses      int             `json:"uses"`       // connections that it has accepted
}

// Truth returns the ground truth about all upstreams, in the order of their making.
func (l *Lab) Truth() []Truth {
	now := time.Now()
	l.mu.RLock()
	all := l.all
	l.mu.RUnlock()
	out := make([]Truth, len(all))
	for i, n := range all {
		out[i] = n.truth(now)
	}
	return out
}

// truth is the ground truth at a time not before the latest one that was asked for.
func (n *node) truth(now time.Time) Truth {
	n.mu.Lock()
	defer n.mu.Unlock()
	t := Truth{
		Endpoint: n.ep, Protocol: n.Protocol, Behaviour: n.as, Exit: n.exits[0], Exits: n.exits,
		Latency: n.Latency, Anonymity: proxy.Elite, RemoteDNS: !n.RefuseNames, Uses: n.total,
	}
	up, since := true, n.born
	if n.as.scheduled() {
		up, since = n.plan.at(now)
		if since.Before(n.born) {
			since = n.born
		}
	}
	t.describe(n.as)
	if t.Up = t.Up && up; t.Up {
		t.UpSince = since
	}
	return t
}

// describe fills in what a behaviour means.
func (t *Truth) describe(b Behaviour) {
	http := !t.Protocol.IsSOCKS()
	t.Up, t.Forward, t.Tunnel, t.TunnelAny = true, http, true, true
	switch b {
	case Transparent, Anonymous:
		if http {
			t.Anonymity = proxy.Transparent + proxy.Anonymity(b-Transparent)
		}
	case Only443:
		t.TunnelAny = false
	case ConnectForbidden, ConnectNotAllowed, HTMLAfter200:
		t.Tunnel, t.TunnelAny, t.Up = false, false, http
		t.Maybe = !http && b == ConnectForbidden
	case Tamper:
		t.Tampers, t.Up = "content", false
	case Intercept:
		t.Tampers, t.Up = "tls", false
	case LyingExit, Forger:
		t.Tampers, t.Up = "exit", false
	case Inject:
		t.Tampers, t.Up = "content", false
	case Cookies:
		t.Tampers, t.Up = "headers", false
	case StaleEdge, OwnEdge:
		t.Forward, t.Tunnel, t.TunnelAny, t.Up = false, false, false, false
	case CutLong: // its tunnels to TLS are whole
		t.Forward, t.Maybe, t.Up = false, true, false
	case Slow, Flaky:
		t.Maybe, t.Up = true, false
	case Refused, SilentConnect, Silent, ResetMidBody, CutBody, CutBodyFramed, Garbage, LoginPage, Locked:
		t.Forward, t.Tunnel, t.TunnelAny, t.Up = false, false, false, false
	}
}
