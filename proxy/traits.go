package proxy

import (
	"fmt"
	"net/netip"
	"strings"
)

// Tri is a yes, a no, or nothing known. It marshals to true, false and null.
type Tri int8

// The values of Tri.
const (
	Unknown Tri = 0
	Yes     Tri = 1
	No      Tri = -1
)

// TriOf turns a fact into Yes or No.
func TriOf(b bool) Tri {
	if b {
		return Yes
	}
	return No
}

// MarshalJSON prints true, false or null.
func (t Tri) MarshalJSON() ([]byte, error) { return []byte(t.String()), nil }

// String prints true, false or null.
func (t Tri) String() string {
	switch t {
	case Yes:
		return "true"
	case No:
		return "false"
	}
	return "null"
}

// Anonymity is how much of the client a proxy lets a plain-HTTP target see.
// The values are ordered: at least anonymous is >= Anonymous.
type Anonymity uint8

// The grades of anonymity. See field measurements in docs/architecture.md for how they are told apart.
const (
	AnonymityUnknown Anonymity = iota
	Transparent                // one of our own addresses is visible
	Anonymous                  // it is not, but headers reveal that there is a proxy
	Elite                      // neither
)

var anonymityNames = [...]string{"", "transparent", "anonymous", "elite"}

// String returns the name, "" for unknown.
func (a Anonymity) String() string {
	if int(a) < len(anonymityNames) {
		return anonymityNames[a]
	}
	return fmt.Sprintf("anonymity(%d)", uint8(a))
}

// MarshalText prints the name.
func (a Anonymity) MarshalText() ([]byte, error) { return []byte(a.String()), nil }

// UnmarshalText reads a name in any case.
func (a *Anonymity) UnmarshalText(b []byte) error {
	for i, n := range anonymityNames {
		if strings.EqualFold(n, string(b)) {
			*a = Anonymity(i)
			return nil
		}
	}
	return fmt.Errorf("unknown anonymity %q; use transparent, anonymous or elite", clip(string(b)))
}

// Traits is what a proxy can do and where it leaves from, as checks found it
// (or, in a Candidate, as a list claims it). Zero fields are not known.
type Traits struct {
	Forward   Tri // absolute-form plain HTTP
	Tunnel    Tri // reaches port 443 by CONNECT or SOCKS
	TunnelAny Tri // reaches other ports
	RemoteDNS Tri // resolves names itself
	IPv6      Tri // reaches IPv6 targets
	Anonymity Anonymity
	ExitIP    netip.Addr // the address that targets see
	Country   string     // ISO 3166-1 alpha-2 of the exit, upper case
	ASN       uint32     // of the exit
	Org       string     // the name of the autonomous system
	Tampers   string     // what it was caught at ("tls", "content", ...), with a word of evidence; "" for nothing
}

// Lacks reports whether one of the abilities is missing for certain that was not in before.
func (t Traits) Lacks(before Traits) bool {
	less := func(now, then Tri) bool { return now == No && then != No }
	return less(t.Forward, before.Forward) || less(t.Tunnel, before.Tunnel) || less(t.TunnelAny, before.TunnelAny) ||
		less(t.RemoteDNS, before.RemoteDNS) || less(t.IPv6, before.IPv6)
}

// Merge overlays what newer knows on t: known fields win, unknown ones leave t as it is.
// Evidence of tampering is never merged away.
func (t Traits) Merge(newer Traits) Traits {
	for _, p := range [][2]*Tri{
		{&t.Forward, &newer.Forward}, {&t.Tunnel, &newer.Tunnel}, {&t.TunnelAny, &newer.TunnelAny},
		{&t.RemoteDNS, &newer.RemoteDNS}, {&t.IPv6, &newer.IPv6},
	} {
		if *p[1] != Unknown {
			*p[0] = *p[1]
		}
	}
	if newer.Anonymity != AnonymityUnknown {
		t.Anonymity = newer.Anonymity
	}
	if newer.ExitIP.IsValid() {
		if newer.ExitIP != t.ExitIP {
			t.Country, t.ASN, t.Org = "", 0, "" // they belong to the exit
		}
		t.ExitIP = newer.ExitIP
	}
	if newer.Country != "" {
		t.Country = newer.Country
	}
	if newer.ASN != 0 {
		t.ASN, t.Org = newer.ASN, newer.Org
	}
	if newer.Tampers != "" {
		t.Tampers = newer.Tampers
	}
	return t
}

// Caps is a set of abilities that a use needs.
type Caps uint8

// The abilities a use can need.
const (
	NeedForward   Caps = 1 << iota // plain HTTP in absolute form; SOCKS protocols and proxies that tunnel can do it through a tunnel
	NeedTunnel                     // port 443
	NeedTunnelAny                  // a port other than 443
	NeedRemoteDNS                  // the target is a name
	NeedIPv6                       // the target is an IPv6 literal
)

// Able reports whether a proxy of protocol p with traits t can serve need.
// Abilities that are not known yet count as yes, except IPv6 and, for SOCKS4, names.
func (t Traits) Able(p Protocol, need Caps) bool {
	if need&NeedForward != 0 && !p.IsSOCKS() && t.Forward == No {
		return false
	}
	if need&NeedForward != 0 && p.IsSOCKS() && t.deniesPorts() {
		return false
	}
	if need&NeedTunnel != 0 && t.Tunnel == No {
		return false
	}
	if need&NeedTunnelAny != 0 && t.deniesPorts() {
		return false
	}
	if need&NeedRemoteDNS != 0 && (t.RemoteDNS == No || p == SOCKS4 && t.RemoteDNS != Yes) {
		return false
	}
	return need&NeedIPv6 == 0 || t.IPv6 == Yes
}

// deniesPorts reports whether the proxy does not tunnel to ports other than 443.
// One that does not tunnel to 443 does not tunnel elsewhere either, unless it
// was seen to.
func (t Traits) deniesPorts() bool {
	return t.TunnelAny == No || t.TunnelAny == Unknown && t.Tunnel == No
}
