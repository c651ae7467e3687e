package proxy_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"freeway/proxy"
)

func TestParse(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ in, want string }{
		{"1.2.3.4:80", "http://1.2.3.4:80"},
		{"HTTP://1.2.3.4:80/", "http://1.2.3.4:80"},
		{"socks5h://1.2.3.4:1080", "socks5://1.2.3.4:1080"},
		{"SOCKS4A://Proxy.Example.ORG.:1080", "socks4://proxy.example.org:1080"},
		{"https://[2001:DB8:0:0::1]:443", "https://[2001:db8::1]:443"},
		{"[::ffff:8.8.8.8]:8080", "http://8.8.8.8:8080"},
		{"socks5://bob@1.2.3.4:1", "socks5://bob@1.2.3.4:1"},
		{"socks5://a%3Ab%40c%20d@1.2.3.4:1", "socks5://a%3Ab%40c%20d@1.2.3.4:1"},
		{"http://under_score.example.com:65535", "http://under_score.example.com:65535"},
	} {
		e, err := proxy.Parse(tt.in)
		if err != nil || e.String() != tt.want {
			t.Errorf("Parse(%q) = %v, %v, want %v", tt.in, e, err, tt.want)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	t.Parallel()
	for _, in := range []string{
		"", ":", ":80", "1.2.3.4", "1.2.3.4:", "1.2.3.4:0", "1.2.3.4:65536", "1.2.3.4:080", "1.2.3.4:+80", "1.2.3.4:-1",
		"1.2.3:80", "1.2.3.4.5:80", "256.1.1.1:80", "01.2.3.4:80", "1.2.3.04:80", "0x7f.1:80", "a.0x1:80",
		"::1:80", "[::1]", "[1.2.3.4]:80", "[fe80::1%eth0]:80", "[]:80", "ftp://1.2.3.4:21", "vmess://1.2.3.4:1",
		"a..b:80", "-a.com:80", "a-.com:80", "a b:80", "a/b:80", "１.2.3.4:80", "http://u:p@1.2.3.4:80", "http://%zz@1.2.3.4:80",
		strings.Repeat("a", 64) + ".com:80", strings.Repeat("a.", 127) + "com:80",
	} {
		if e, err := proxy.Parse(in); err == nil {
			t.Errorf("Parse(%q) = %v, want an error", in, e)
		}
	}
}

func TestParseURL(t *testing.T) {
	t.Parallel()
	e, pw, err := proxy.ParseURL("socks5://us3r:p%40ss:x@1.20.3.4:1080")
	if err != nil || e.User != "us3r" || pw.Reveal() != "p@ss:x" {
		t.Errorf("ParseURL = %v, %q, %v, want user us3r and password p@ss:x", e, pw.Reveal(), err)
	}
	if strings.Contains(e.String(), "p@ss") {
		t.Errorf("String() = %q holds the password", e)
	}
}

func TestParseURLErrorHoldsNoPassword(t *testing.T) {
	t.Parallel()
	for _, in := range []string{"http://u:hunter2@1.2.3.4:99999", "http://u:hunter2@bad..host:80", "x://u:hunter2@h:1", "http://u:hunter2%zz@h:1"} {
		if _, _, err := proxy.ParseURL(in); err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("ParseURL(%q) error = %v, want one without the password", in, err)
		}
	}
}

func TestEndpointID(t *testing.T) {
	t.Parallel()
	a, _ := proxy.Parse("socks5://1.2.3.4:1080")
	b, _ := proxy.Parse("socks4://1.2.3.4:1080")
	if want := "pxrg5p3uzx6gxuehoixh7"; a.ID() != want {
		t.Errorf("ID() = %q, want %q: ids are stored by users and must never change", a.ID(), want)
	}
	if a.ID() == b.ID() {
		t.Error("two endpoints have one ID")
	}
}

func TestEndpointJSON(t *testing.T) {
	t.Parallel()
	e, _ := proxy.Parse("socks5://bob@[2a00::1]:1080")
	b, err := json.Marshal(map[string]any{"e": e})
	if err != nil || string(b) != `{"e":"socks5://bob@[2a00::1]:1080"}` {
		t.Errorf("Marshal = %s, %v", b, err)
	}
	var back struct{ E proxy.Endpoint }
	if err := json.Unmarshal(b, &back); err != nil || back.E != e {
		t.Errorf("Unmarshal = %v, %v, want %v", back.E, err, e)
	}
}

func TestSecretNeverPrints(t *testing.T) {
	t.Parallel()
	s := proxy.NewSecret("hunter2")
	c := proxy.Candidate{Password: s}
	j, _ := json.Marshal(map[string]any{"s": s, "c": c})
	var log strings.Builder
	slog.New(slog.NewTextHandler(&log, nil)).Info("x", "s", s, "c", c)
	all := fmt.Sprint(s, c, &c) + fmt.Sprintf("%v %+v %#v %s %q %x %d %#v %+v", s, s, s, s, s, s, s, c, c) + string(j) + log.String() +
		errors.New(s.String()).Error()
	if strings.Contains(all, "hunter2") || strings.Contains(all, "68756e74657232") {
		t.Errorf("the secret shows: %s", all)
	}
	if !s.Equal("hunter2") || s.Equal("hunter3") || s.Equal("") {
		t.Error("Equal is wrong")
	}
}

func TestAddrPolicy(t *testing.T) {
	t.Parallel()
	var public proxy.AddrPolicy
	lab := proxy.NewAddrPolicy(netip.MustParsePrefix("127.0.0.0/8"))
	for _, tt := range []struct {
		addr        string
		public, lab bool
	}{
		{"8.8.8.8", true, true}, {"145.220.226.255", true, true}, {"2606:4700::1", true, true}, {"::ffff:8.8.8.8", true, true},
		{"127.0.0.1", false, true}, {"::ffff:127.0.0.1", false, true}, {"127.255.3.4", false, true},
		{"0.0.0.0", false, false}, {"10.1.2.3", false, false}, {"100.64.0.1", false, false}, {"169.254.169.254", false, false},
		{"168.63.129.16", false, false}, {"::ffff:168.63.129.16", false, false}, {"168.63.129.17", true, true},
		{"172.31.0.1", false, false}, {"192.168.1.1", false, false}, {"192.0.2.5", false, false}, {"198.18.0.1", false, false},
		{"203.0.113.9", false, false}, {"224.0.0.1", false, false}, {"240.0.0.1", false, false}, {"255.255.255.255", false, false},
		{"::", false, false}, {"::1", false, false}, {"fe80::1", false, false}, {"fd00::1", false, false}, {"ff02::1", false, false},
		{"2001:db8::1", false, false}, {"2002:c0a8:101::1", false, false}, {"2001::1", false, false}, {"64:ff9b::808:808", false, false},
		{"::ffff:10.0.0.1", false, false}, {"fe80::1%eth0", false, false}, {"2606:4700::1%x", false, false},
	} {
		a := netip.MustParseAddr(tt.addr)
		if got := public.Check(a) == nil; got != tt.public {
			t.Errorf("public policy allows %s: %v, want %v", a, got, tt.public)
		}
		if got := lab.Check(a) == nil; got != tt.lab {
			t.Errorf("loopback policy allows %s: %v, want %v", a, got, tt.lab)
		}
	}
	if public.Check(netip.Addr{}) == nil {
		t.Error("the zero address passes")
	}
	for host, want := range map[string]bool{"example.com": true, "localhost": false, "LocalHost.": false, "a.localhost": false,
		"printer.local": false, "web.default.svc": false, "db.prod.svc.cluster.local": false, "metadata.google.internal": false, "127.0.0.1": false, "8.8.8.8": true} {
		if got := public.CheckHost(host) == nil; got != want {
			t.Errorf("public policy allows host %s: %v, want %v", host, got, want)
		}
	}
	if err := lab.CheckHost("localhost"); err != nil {
		t.Errorf("localhost under 127.0.0.0/8: %v", err)
	}
}

func TestSize(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]proxy.Size{"256KiB": 256 << 10, "32 MiB": 32 << 20, "1GB": 1e9, "17": 17, "5B": 5, "0": 0} {
		var z proxy.Size
		if err := z.UnmarshalText([]byte(in)); err != nil || z != want {
			t.Errorf("size %q = %d, %v, want %d", in, z, err, want)
		}
		var again proxy.Size
		if err := again.UnmarshalText([]byte(z.String())); err != nil || again != z {
			t.Errorf("size %q prints as %q, which reads as %d, %v", in, z, again, err)
		}
	}
	for _, in := range []string{"", "-1", "1TiB", "x", "1.5MiB", "99999999999999GiB"} {
		var z proxy.Size
		if err := z.UnmarshalText([]byte(in)); err == nil {
			t.Errorf("size %q = %d, want an error", in, z)
		}
	}
}

func TestTraitsMerge(t *testing.T) {
	t.Parallel()
	old := proxy.Traits{Forward: proxy.Yes, ExitIP: netip.MustParseAddr("1.1.1.1"), Country: "DE", ASN: 1, Org: "x", Tampers: "tls"}
	got := old.Merge(proxy.Traits{Forward: proxy.No, Tunnel: proxy.Yes, ExitIP: netip.MustParseAddr("2.2.2.2"), Country: "FR"})
	want := proxy.Traits{Forward: proxy.No, Tunnel: proxy.Yes, ExitIP: netip.MustParseAddr("2.2.2.2"), Country: "FR", Tampers: "tls"}
	if diff := cmp.Diff(want, got, cmp.Comparer(func(a, b netip.Addr) bool { return a == b })); diff != "" {
		t.Errorf("Merge (-want +got):\n%s", diff)
	}
	if got := old.Merge(proxy.Traits{}); got != old {
		t.Errorf("merging nothing changed %+v to %+v", old, got)
	}
}

func TestAble(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		p    proxy.Protocol
		t    proxy.Traits
		need proxy.Caps
		want bool
	}{
		{"nothing known", proxy.HTTP, proxy.Traits{}, proxy.NeedForward | proxy.NeedTunnelAny, true},
		{"no forward", proxy.HTTP, proxy.Traits{Forward: proxy.No}, proxy.NeedForward, false},
		{"socks has no forward but tunnels", proxy.SOCKS5, proxy.Traits{Forward: proxy.No}, proxy.NeedForward, true},
		{"socks to 443 only", proxy.SOCKS5, proxy.Traits{TunnelAny: proxy.No}, proxy.NeedForward, false},
		{"no tunnel", proxy.HTTP, proxy.Traits{Tunnel: proxy.No}, proxy.NeedTunnel, false},
		{"443 only", proxy.HTTP, proxy.Traits{Tunnel: proxy.Yes, TunnelAny: proxy.No}, proxy.NeedTunnelAny, false},
		{"no tunnel, so none to other ports", proxy.HTTP, proxy.Traits{Tunnel: proxy.No}, proxy.NeedTunnelAny, false},
		{"no tunnel to 443 but elsewhere", proxy.SOCKS5, proxy.Traits{Tunnel: proxy.No, TunnelAny: proxy.Yes}, proxy.NeedTunnelAny | proxy.NeedForward, true},
		{"socks without a tunnel", proxy.SOCKS5, proxy.Traits{Tunnel: proxy.No}, proxy.NeedForward, false},
		{"no tunnel but forward", proxy.HTTP, proxy.Traits{Tunnel: proxy.No}, proxy.NeedForward, true},
		{"socks4 and a name", proxy.SOCKS4, proxy.Traits{}, proxy.NeedRemoteDNS, false},
		{"socks4a and a name", proxy.SOCKS4, proxy.Traits{RemoteDNS: proxy.Yes}, proxy.NeedRemoteDNS, true},
		{"socks5 and a name", proxy.SOCKS5, proxy.Traits{}, proxy.NeedRemoteDNS, true},
		{"IPv6 unknown", proxy.SOCKS5, proxy.Traits{}, proxy.NeedIPv6, false},
		{"IPv6 known", proxy.SOCKS5, proxy.Traits{IPv6: proxy.Yes}, proxy.NeedIPv6, true},
	} {
		if got := tt.t.Able(tt.p, tt.need); got != tt.want {
			t.Errorf("%s: Able = %v, want %v", tt.name, got, tt.want)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{"1.2.3.4:80", "socks5://a%3Ab@[2a00::1]:1080", "https://x.example:443", "[::ffff:1.2.3.4]:1", "http://%00@h:1"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		e, err := proxy.Parse(s)
		if err != nil {
			return
		}
		again, err := proxy.Parse(e.String())
		if err != nil || again != e {
			t.Errorf("Parse(%q) = %#v prints as %q, which reads as %#v, %v", s, e, e, again, err)
		}
		if again.String() != e.String() || again.ID() != e.ID() {
			t.Errorf("%q is not canonical", e)
		}
	})
}
