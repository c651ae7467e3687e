package proxy

import (
	"fmt"
	"net/netip"
	"strings"
)

// AddrPolicy says which addresses may be used. One value is asked wherever an
// address comes in: by the scraper when a list is read, by the pool when an
// entry is added, by dial when the final address is known. The zero value
// allows public unicast addresses only.
type AddrPolicy struct{ allow []netip.Prefix }

// NewAddrPolicy also allows the non-public ranges in allow.
func NewAddrPolicy(allow ...netip.Prefix) AddrPolicy {
	return AddrPolicy{allow: append([]netip.Prefix(nil), allow...)}
}

// Check returns nil when a may be used, else an error that says why not.
// IPv4-mapped IPv6 is judged by the IPv4 address inside.
func (p AddrPolicy) Check(a netip.Addr) error {
	if !a.IsValid() {
		return fmt.Errorf("not an address")
	}
	a = a.Unmap()
	if a.Zone() == "" {
		for _, pre := range p.allow {
			if pre.Contains(a) {
				return nil
			}
		}
	}
	if why := nonPublic(a); why != "" {
		return fmt.Errorf("%s is not public: %s", a, why)
	}
	return nil
}

// CheckHost is Check for a host that may be a name. Names pass, except those
// that always mean this machine or network; their addresses are checked
// when they are dialled.
func (p AddrPolicy) CheckHost(host string) error {
	if a, ok := literal(host); ok {
		return p.Check(a)
	}
	h := strings.ToLower(strings.TrimSuffix(host, "."))
	if h == "localhost" || strings.HasSuffix(h, ".localhost") { // RFC 6761 section 6.3
		if p.Check(netip.AddrFrom4([4]byte{127, 0, 0, 1})) == nil {
			return nil
		}
		return fmt.Errorf("%s is this machine", clip(host))
	}
	if len(p.allow) == 0 && strings.IndexByte(h, '.') < 0 { // no such name is public: ICANN forbids dotless domains (RFC 7085)
		return fmt.Errorf("%s is a name without a domain", clip(host))
	}
	for _, suffix := range []string{".localdomain", ".local", ".internal", ".home.arpa", ".lan", ".svc"} { // RFC 6762, ICANN 2024, RFC 8375, Kubernetes
		if strings.HasSuffix(h, suffix) && len(p.allow) == 0 {
			return fmt.Errorf("%s is a name of a private network", clip(host))
		}
	}
	return nil
}

// specialRanges is the IANA special-purpose registries (RFC 6890 and later),
// the parts that are not globally reachable unicast. Translation prefixes
// whose IPv4 part can be hidden (NAT64, 6to4, Teredo) are refused whole.
var specialRanges = func() []specialRange {
	var out []specialRange
	for _, r := range [][2]string{
		{"0.0.0.0/8", "this network (RFC 791)"},
		{"10.0.0.0/8", "private (RFC 1918)"},
		{"100.64.0.0/10", "carrier NAT (RFC 6598)"},
		{"127.0.0.0/8", "loopback (RFC 1122)"},
		{"168.63.129.16/32", "metadata and DNS of Azure, inside of it only"},
		{"169.254.0.0/16", "link-local and cloud metadata (RFC 3927)"},
		{"172.16.0.0/12", "private (RFC 1918)"},
		{"192.0.0.0/24", "protocol assignments (RFC 6890)"},
		{"192.0.2.0/24", "documentation (RFC 5737)"},
		{"192.31.196.0/24", "AS112 (RFC 7535)"},
		{"192.52.193.0/24", "AMT (RFC 7450)"},
		{"192.88.99.0/24", "6to4 relay (RFC 7526)"},
		{"192.168.0.0/16", "private (RFC 1918)"},
		{"192.175.48.0/24", "AS112 (RFC 7534)"},
		{"198.18.0.0/15", "benchmarks (RFC 2544)"},
		{"198.51.100.0/24", "documentation (RFC 5737)"},
		{"203.0.113.0/24", "documentation (RFC 5737)"},
		{"224.0.0.0/4", "multicast (RFC 5771)"},
		{"240.0.0.0/4", "reserved (RFC 1112)"},
		{"2001::/23", "protocol assignments, Teredo (RFC 2928, 4380)"},
		{"2001:db8::/32", "documentation (RFC 3849)"},
		{"2002::/16", "6to4 (RFC 3056)"},
		{"2620:4f:8000::/48", "AS112 (RFC 7534)"},
		{"3fff::/20", "documentation (RFC 9637)"},
	} {
		out = append(out, specialRange{netip.MustParsePrefix(r[0]), r[1]})
	}
	return out
}()

type specialRange struct {
	prefix netip.Prefix
	why    string
}

var globalUnicast6 = netip.MustParsePrefix("2000::/3") // RFC 4291 section 2.4 as assigned by IANA

func nonPublic(a netip.Addr) string {
	if a.Zone() != "" {
		return "it has a zone"
	}
	if a.Is6() && !globalUnicast6.Contains(a) {
		return "outside global unicast 2000::/3"
	}
	for _, r := range specialRanges {
		if r.prefix.Contains(a) {
			return r.why
		}
	}
	return ""
}
