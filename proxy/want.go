package proxy

import (
	"fmt"
	"net/netip"
	"strings"
	"time"

	"golang.org/x/net/publicsuffix"
)

// Target is what a client wants to reach.
type Target struct {
	Host   string // as the client wrote it, lower case; IPv6 without brackets
	Domain string // registrable domain (public suffix plus one), or the address
	Port   uint16
	TLS    bool // the traffic is expected to be TLS
}

// ParseTarget reads host:port, or a host alone when defaultPort is not 0.
func ParseTarget(s string, defaultPort uint16) (Target, error) {
	if a, ok := literal(strings.Trim(s, "[]")); ok && defaultPort != 0 && a.Zone() == "" {
		return newTarget(a.Unmap().String(), defaultPort), nil
	}
	if defaultPort != 0 && strings.IndexByte(s, ':') < 0 {
		h, err := canonicalHost(s)
		return newTarget(h, defaultPort), err
	}
	host, port, err := splitHostPort(s)
	if err != nil {
		return Target{}, err
	}
	h, err := canonicalHost(host)
	return newTarget(h, port), err
}

func newTarget(host string, port uint16) Target {
	domain := host
	if _, ok := literal(host); !ok {
		if d, err := publicsuffix.EffectiveTLDPlusOne(host); err == nil {
			domain = d
		}
	}
	return Target{Host: host, Domain: domain, Port: port, TLS: port == 443}
}

// String returns host:port.
func (t Target) String() string { return joinHostPort(t.Host, t.Port) }

// Addr returns the IP address of a literal target, or the zero Addr for a name.
func (t Target) Addr() netip.Addr {
	a, _ := literal(t.Host)
	return a
}

// Needs returns what reaching the target demands of a proxy: forward for plain
// HTTP requests, else a tunnel to the target's port.
func (t Target) Needs(plainHTTP bool) Caps {
	var c Caps
	switch {
	case plainHTTP:
		c = NeedForward
	case t.Port == 443:
		c = NeedTunnel
	default:
		c = NeedTunnelAny
	}
	switch a := t.Addr(); {
	case !a.IsValid():
		c |= NeedRemoteDNS
	case a.Unmap().Is6():
		c |= NeedIPv6
	}
	return c
}

// SessionKey names a session: the client's identity and the id it chose, so
// that no client can join another one's session. Zero: no session.
type SessionKey struct{ User, ID string }

// Want is what a use asks of the pool.
type Want struct {
	Filter     Filter
	Target     Target
	Need       Caps
	Pools      []string // labels in order of preference; none: PublicPool
	Session    SessionKey
	SessionTTL time.Duration // 0: the pool's default
	Soft       bool          // a lost session exit is replaced silently
	Strict     bool          // a lost session stays lost until its ttl ends
	AvoidExits []netip.Addr  // exits that this request has tried
	Avoid      []Endpoint    // endpoints that this request has tried
	ExitLost   bool          // the session's exit failed this request again and again: lost when Avoid leaves no endpoint of it

	// MinInterval is how long an exit rests between two uses for the same
	// registrable domain; 0: not at all. Sessions, which hold one exit, do without.
	MinInterval time.Duration
}

// Lease is a proxy handed out for one attempt. Report is called once, as soon
// as it is known how the attempt went; Close when the connection is no longer
// used. Both are safe to call from any goroutine and more than once.
type Lease struct {
	Entry  Entry
	Why    string // why this one, for people
	Report func(Outcome)
	Close  func()
}

// Attempt is one try within a request.
type Attempt struct {
	Endpoint Endpoint
	Exit     netip.Addr
	Country  string
	Why      string
	Stage    Stage
	Class    Class
	Status   int
	At       time.Time     // when it began, once the upstream was chosen
	Pick     time.Duration // what choosing it took, before At
	Phases   Phases        // as far as they were measured
	Took     time.Duration
}

// Trace is one request through the gateway with all its attempts.
type Trace struct {
	ID       string // the request id, also in the client's answer
	At       time.Time
	Client   netip.Addr
	User     string
	Tag      string
	Session  string
	Method   string // HTTP method, or "SOCKS4", "SOCKS5"
	Target   Target
	Attempts []Attempt
	Status   int           // what the client was answered: HTTP status or SOCKS reply
	Code     string        // Freeway-Error code; "" when the target's answer was passed on
	Up, Down int64         // payload bytes from and to the client
	Missed   time.Duration // what the last choice took when it found no upstream
	Answer   time.Duration // from At until the answer began, or the tunnel was up; 0: neither
	Took     time.Duration

	// Running says that it has not ended. Then the last of Attempts is the one in
	// use, Took is the time until now, and so are Up and Down of a tunnel; those of
	// a plain request are not known yet.
	Running bool
}

// ParseASN reads "24940" or "AS24940".
func ParseASN(s string) (uint32, error) {
	digits := s
	if len(s) > 2 && strings.EqualFold(s[:2], "as") {
		digits = s[2:]
	}
	var n uint64
	for i := range len(digits) {
		if digits[i] < '0' || digits[i] > '9' || i > 9 {
			return 0, fmt.Errorf("bad ASN %q; write 24940 or AS24940", clip(s))
		}
		n = n*10 + uint64(digits[i]-'0')
	}
	if n == 0 || n > 1<<32-1 {
		return 0, fmt.Errorf("bad ASN %q; write 24940 or AS24940", clip(s))
	}
	return uint32(n), nil
}
