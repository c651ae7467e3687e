package proxy_test

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"freeway/proxy"
)

func sample() proxy.Entry {
	ep, _ := proxy.Parse("socks5://1.2.3.4:1080")
	return proxy.Entry{
		Endpoint: ep, Pool: "public", State: proxy.Live, Score: .8, Latency: 400 * time.Millisecond, Sources: []string{"alpha", "beta"},
		Traits: proxy.Traits{Tunnel: proxy.Yes, Anonymity: proxy.Anonymous, ExitIP: netip.MustParseAddr("9.9.9.9"), Country: "DE", ASN: 24940},
	}
}

func TestFilter(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		key, value string
		want       bool
	}{
		{"protocol", "SOCKS5", true}, {"protocol", "http,socks4", false}, {"country", "us,de", true}, {"country", "US", false},
		{"asn", "AS24940", true}, {"asn", "1,2", false}, {"anonymity", "transparent", true}, {"anonymity", "elite", false},
		{"tunnel", "true", true}, {"tunnel", "no", false}, {"max_latency", "400", true}, {"max_latency", "399", false},
		{"min_score", "0.8", true}, {"min_score", ".81", false}, {"source", "BETA", true}, {"source", "gamma", false},
		{"pool", "public,own", true}, {"pool", "own", false}, {"exit", "9.9.9.9", true}, {"exit", "9.9.0.0/16", true}, {"exit", "1.2.3.4", false},
		{"state", "live,resting", true}, {"state", "dead", false}, {"url", "socks5h://1.2.3.4:1080", true}, {"url", "1.2.3.4:1080", false},
	} {
		var f proxy.Filter
		if err := f.Set(tt.key, tt.value); err != nil {
			t.Errorf("Set(%q, %q): %v", tt.key, tt.value, err)
			continue
		}
		e := sample()
		if got := f.Match(&e); got != tt.want {
			t.Errorf("%s=%s matches: %v, want %v", tt.key, tt.value, got, tt.want)
		}
		if f.IsZero() {
			t.Errorf("%s=%s counts as no filter", tt.key, tt.value)
		}
	}
}

func TestFilterFieldsMustAllHold(t *testing.T) {
	t.Parallel()
	var f proxy.Filter
	_ = f.Set("country", "de")
	_ = f.Set("protocol", "http")
	e := sample()
	if f.Match(&e) {
		t.Error("an entry passed though its protocol is not wanted")
	}
}

func TestFilterErrorsNameTheKey(t *testing.T) {
	t.Parallel()
	for _, tt := range [][2]string{
		{"protocol", "vmess"}, {"country", "germany"}, {"country", "d"}, {"asn", "x"}, {"asn", "0"}, {"asn", "99999999999"}, {"anonymity", "high"},
		{"tunnel", "maybe"}, {"max_latency", "1s"}, {"max_latency", "0"}, {"min_score", "2"}, {"min_score", "nan"}, {"source", "a,,b"}, {"exit", "x"},
		{"state", "alive"}, {"url", "::"}, {"nonsense", "1"}, {"country", ""},
	} {
		var f proxy.Filter
		err := f.Set(tt[0], tt[1])
		if err == nil || !strings.Contains(err.Error(), tt[0]) {
			t.Errorf("Set(%q, %q) = %v, want an error that names the key", tt[0], tt[1], err)
		}
	}
}

func TestFilterKeysAreAllKnown(t *testing.T) {
	t.Parallel()
	for _, k := range proxy.FilterKeys() {
		var f proxy.Filter
		if err := f.Set(k, "\x00"); err != nil && strings.Contains(err.Error(), "unknown filter") {
			t.Errorf("FilterKeys lists %q, which Set does not know", k)
		}
	}
}

func TestParseTarget(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		in           string
		def          uint16
		want, domain string
		needs        proxy.Caps
	}{
		{"www.example.co.uk:443", 0, "www.example.co.uk:443", "example.co.uk", proxy.NeedTunnel | proxy.NeedRemoteDNS},
		{"Example.com", 80, "example.com:80", "example.com", proxy.NeedTunnelAny | proxy.NeedRemoteDNS},
		{"[2a00::1]:8443", 0, "[2a00::1]:8443", "2a00::1", proxy.NeedTunnelAny | proxy.NeedIPv6},
		{"[2a00::1]", 443, "[2a00::1]:443", "2a00::1", proxy.NeedTunnel | proxy.NeedIPv6},
		{"1.2.3.4:80", 0, "1.2.3.4:80", "1.2.3.4", proxy.NeedTunnelAny},
	} {
		got, err := proxy.ParseTarget(tt.in, tt.def)
		if err != nil || got.String() != tt.want || got.Domain != tt.domain || got.Needs(false) != tt.needs {
			t.Errorf("ParseTarget(%q, %d) = %v (domain %s, needs %b), %v, want %s (%s, %b)", tt.in, tt.def, got, got.Domain, got.Needs(false), err, tt.want, tt.domain, tt.needs)
		}
	}
	for _, in := range []string{"", "example.com", "example.com:0", "example.com:99999", "exa mple.com:80", "a@b:80", "::1:80", "x:80\r\n"} {
		if got, err := proxy.ParseTarget(in, 0); err == nil {
			t.Errorf("ParseTarget(%q) = %v, want an error", in, got)
		}
	}
}

func TestBlame(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		o                   proxy.Outcome
		proxy, pair, target float32
	}{
		{proxy.Outcome{Class: proxy.OK}, 0, 0, 0},
		{proxy.Outcome{Class: proxy.Canceled}, 0, 0, 0},
		{proxy.Outcome{Stage: proxy.StageConnect, Class: proxy.Refused}, 1, 0, 0},
		{proxy.Outcome{Stage: proxy.StageHandshake, Class: proxy.Timeout}, 1, 0, 0},
		{proxy.Outcome{Stage: proxy.StageTLS, Class: proxy.BadTLS}, 1, 0, 0},
		{proxy.Outcome{Stage: proxy.StageHandshake, Class: proxy.AuthRequired}, 1, 0, 0},
		{proxy.Outcome{Stage: proxy.StageHandshake, Class: proxy.NoConnect}, 0, 0, 0},
		{proxy.Outcome{Stage: proxy.StageHandshake, Class: proxy.PortDenied}, 0, 0, 0},
		{proxy.Outcome{Stage: proxy.StageHandshake, Class: proxy.BadGateway}, .25, 1, 1},
		{proxy.Outcome{Stage: proxy.StageTunnel, Class: proxy.EOF}, 1, 1, 0},
		{proxy.Outcome{Stage: proxy.StageTunnel, Class: proxy.BadTLS}, 1, 1, 0},
		{proxy.Outcome{Stage: proxy.StageBody, Class: proxy.Truncated}, .5, .5, 0},
		{proxy.Outcome{Stage: proxy.StageBody, Class: proxy.Banned, Status: 429}, 0, 1, 0},
		{proxy.Outcome{Class: proxy.TargetFailed}, 0, 0, 1},
	} {
		p, pair, target := tt.o.Blame()
		if p != tt.proxy || pair != tt.pair || target != tt.target {
			t.Errorf("%v at %v blames %v, %v, %v, want %v, %v, %v", tt.o.Class, tt.o.Stage, p, pair, target, tt.proxy, tt.pair, tt.target)
		}
	}
}

func TestNamesOfEnums(t *testing.T) {
	t.Parallel()
	for c := proxy.OK; c <= proxy.SelfExit; c++ {
		if c.String() == "class" || c.String() == "" {
			t.Errorf("class %d has no name", c)
		}
	}
	for s := proxy.StageResolve; s <= proxy.StageVerify; s++ {
		if s.String() == "stage" || s.String() == "" {
			t.Errorf("stage %d has no name", s)
		}
	}
	for s := proxy.New; s <= proxy.Unsafe; s++ {
		var back proxy.State
		if err := back.UnmarshalText([]byte(s.String())); err != nil || back != s {
			t.Errorf("state %v reads back as %v, %v", s, back, err)
		}
	}
	if !(proxy.Outcome{Class: proxy.Tampered}).Eject() || (proxy.Outcome{Class: proxy.Timeout}).Eject() {
		t.Error("Eject is wrong")
	}
}

func ExampleHealth_Score() {
	var h proxy.Health
	now := time.Unix(1_800_000_000, 0)
	for range 5 {
		now = now.Add(12 * time.Minute)
		h = h.Observe(now, true, 1)
	}
	fmt.Printf("%.2f now, %.2f after a day\n", h.Score(now, proxy.DefaultPrior), h.Score(now.Add(24*time.Hour), proxy.DefaultPrior))
	// Output: 0.91 now, 0.37 after a day
}

func ExampleParse() {
	e, err := proxy.Parse("SOCKS5H://1.2.3.4:1080/")
	fmt.Println(e, e.Protocol, e.Port, err)
	// Output: socks5://1.2.3.4:1080 socks5 1080 <nil>
}
