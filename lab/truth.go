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
	Maybe     bool            `json:"maybe"`      // not up, but with luck (Flaky) or patience (Slow) a check may pass
	Exit      netip.Addr      `json:"exit"`       // the address that targets see
	Exits     []netip.Addr    `json:"exits"`      // all of them, when there are several
	Forward   bool            `json:"forward"`    // plain HTTP in absolute form comes back right (never for SOCKS)
	Tunnel    bool            `json:"tunnel"`     // tunnels to port 443 work
	TunnelAny bool            `json:"tunnel_any"` // and to other ports
	RemoteDNS bool            `json:"remote_dns"` // it resolves names
	Anonymity proxy.Anonymity `json:"anonymity"`  // of plain HTTP
	Tampers   string          `json:"tampers"`    // "content", "tls", "exit"; "" for nothing
	Latency   time.Duration   `json:"latency"`    // median, in nanoseconds
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

func (n *node) truth(now time.Time) Truth {
	t := Truth{
		Endpoint: n.ep, Protocol: n.Protocol, Behaviour: n.Behaviour, Exit: n.exits[0], Exits: n.exits,
		Latency: n.Latency, Anonymity: proxy.Elite, RemoteDNS: !n.RefuseNames,
	}
	up, since := n.up(now)
	if since.Before(n.born) {
		since = n.born
	}
	http := !n.Protocol.IsSOCKS()
	t.Forward, t.Tunnel, t.TunnelAny = http, true, true
	switch n.Behaviour {
	case Transparent, Anonymous:
		if http {
			t.Anonymity = proxy.Transparent + proxy.Anonymity(n.Behaviour-Transparent)
		}
	case Only443:
		t.TunnelAny = false
	case ConnectForbidden, ConnectNotAllowed, HTMLAfter200:
		t.Tunnel, t.TunnelAny = false, false
	case Tamper:
		t.Tampers, up = "content", false
	case Intercept:
		t.Tampers, up = "tls", false
	case LyingExit:
		t.Tampers, up = "exit", false
	case Slow, Flaky:
		t.Maybe, up = true, false
	case Refused, SilentConnect, Silent, ResetMidBody, CutBody, CutBodyFramed, Garbage, LoginPage, Locked:
		t.Forward, t.Tunnel, t.TunnelAny, up = false, false, false, false
	}
	if t.Up = up && (t.Forward || t.Tunnel); t.Up {
		t.UpSince = since
	}
	return t
}
