package lab_test

import (
	"fmt"
	"math"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"freeway/lab"
	"freeway/proxy"
)

// scanMix is a list of which one in ten works.
func scanMix() []lab.Share {
	return []lab.Share{
		{Behaviour: lab.Healthy, Weight: 10, Latency: 300 * time.Millisecond},
		{Behaviour: lab.Refused, Weight: 40},
		{Behaviour: lab.Silent, Weight: 30},
		{Behaviour: lab.Garbage, Weight: 10},
		{Behaviour: lab.Slow, Weight: 10},
	}
}

// facts is the ground truth without what a clock or a free port decides.
func facts(l *lab.Lab, withAddress bool) []string {
	var out []string
	for _, tr := range l.Truth() {
		s := fmt.Sprint(tr.Behaviour, tr.Protocol, tr.Latency, tr.Anonymity, tr.Tampers, tr.Exits, tr.Up, tr.RemoteDNS)
		if withAddress {
			s += tr.Endpoint.Host
		}
		out = append(out, s)
	}
	return out
}

func TestSeedDecides(t *testing.T) {
	t.Parallel()
	cfg := lab.Config{Seed: 42, Upstreams: 300}
	a, b := start(t, cfg), start(t, cfg)
	if d := cmp.Diff(facts(a, true), facts(b, true)); d != "" {
		t.Errorf("two labs of one seed differ:\n%s", d)
	}
	cfg.Seed++
	if cmp.Equal(facts(a, true), facts(start(t, cfg), true)) {
		t.Error("another seed gives the same lab")
	}
	for _, mode := range []lab.Addressing{lab.PerAddress, lab.PerPort} {
		cfg := lab.Config{Seed: 42, Upstreams: 300, Addressing: mode}
		if d := cmp.Diff(facts(a, false), facts(start(t, cfg), false)); d != "" {
			t.Errorf("in %s the lab is another one:\n%s", mode, d)
		}
	}
}

// TestPortsAreTheSame: with one seed, a lab that follows another has its ports, too.
func TestPortsAreTheSame(t *testing.T) {
	t.Parallel()
	var first []lab.Truth
	for range 2 {
		l, err := lab.Start(t.Context(), lab.Config{Seed: 0xfeed, Upstreams: 50})
		if err != nil {
			t.Fatal(err)
		}
		truth := l.Truth()
		l.Close()
		for i := range first {
			if first[i].Endpoint != truth[i].Endpoint {
				t.Errorf("upstream %d was %s and is %s", i, first[i].Endpoint, truth[i].Endpoint)
			}
		}
		first = truth
	}
}

func TestMixIsExact(t *testing.T) {
	t.Parallel()
	l := start(t, lab.Config{Seed: 1, Upstreams: 1000, Mix: scanMix()})
	count := map[lab.Behaviour]int{}
	var medians []time.Duration
	for _, tr := range l.Truth() {
		count[tr.Behaviour]++
		if tr.Behaviour == lab.Healthy {
			medians = append(medians, tr.Latency)
		}
		if tr.Up != (tr.Behaviour == lab.Healthy) {
			t.Errorf("%s: up is %v", tr.Behaviour, tr.Up)
		}
	}
	want := map[lab.Behaviour]int{lab.Healthy: 100, lab.Refused: 400, lab.Silent: 300, lab.Garbage: 100, lab.Slow: 100}
	if d := cmp.Diff(want, count); d != "" {
		t.Errorf("counts differ:\n%s", d)
	}
	slices.Sort(medians)
	if m := medians[50]; m < 220*time.Millisecond || m > 400*time.Millisecond {
		t.Errorf("the median of medians is %s, want about 300ms", m)
	}
	if m := medians[99]; m > 2400*time.Millisecond {
		t.Errorf("the slowest median is %s, want at most 2.4s", m)
	}
}

func TestDefaultMix(t *testing.T) {
	t.Parallel()
	for seed := range uint64(5) {
		l := start(t, lab.Config{Seed: seed, Upstreams: 600})
		exits, seen := map[netip.Addr]bool{}, map[lab.Behaviour]int{}
		for _, tr := range l.Truth() {
			seen[tr.Behaviour]++
			if tr.Up && tr.Forward && tr.Tunnel {
				exits[tr.Exit] = true
			}
		}
		if len(exits) < 25 || seen[lab.Intercept] < 10 || seen[lab.Tamper] < 10 {
			t.Errorf("seed %d: %d exits, %d interceptors, %d tamperers, want 25, 10, 10", seed, len(exits), seen[lab.Intercept], seen[lab.Tamper])
		}
		if len(seen) != int(lab.Marked)+1 {
			t.Errorf("seed %d: %d behaviours occur, want all %d", seed, len(seen), lab.Marked+1)
		}
	}
}

func TestFarms(t *testing.T) {
	t.Parallel()
	for _, mode := range modes() {
		l := start(t, lab.Config{Addressing: mode, Upstreams: 12, Mix: []lab.Share{{Weight: 1, Farm: 4, Protocols: []proxy.Protocol{proxy.SOCKS5}}}})
		exits, ports := map[netip.Addr]int{}, map[string]bool{}
		for _, tr := range l.Truth() {
			exits[tr.Exit]++
			ports[tr.Endpoint.Address()] = true
		}
		if len(exits) != 3 || len(ports) != 12 {
			t.Errorf("%s: 12 upstreams have %d exits and %d addresses, want 3 and 12", mode, len(exits), len(ports))
		}
	}
}

func TestDifferentHosts(t *testing.T) {
	t.Parallel()
	l := start(t, lab.Config{Upstreams: 2000, Mix: []lab.Share{{Weight: 1}}})
	hosts := map[string]bool{}
	for _, tr := range l.Truth() {
		a := tr.Endpoint.Addr()
		if !a.IsLoopback() || strings.HasPrefix(tr.Endpoint.Host, "127.0.") || strings.HasPrefix(tr.Endpoint.Host, "127.9.") {
			t.Errorf("upstream at %s", tr.Endpoint)
		}
		hosts[tr.Endpoint.Host] = true
	}
	if l.Addressing() != lab.PerPort && len(hosts) != 2000 {
		t.Errorf("2000 upstreams have %d addresses", len(hosts))
	}
}

func TestValidate(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		cfg  lab.Config
		want string
	}{
		{lab.Config{}, ""},
		{lab.Config{Upstreams: -1}, "upstreams"},
		{lab.Config{Upstreams: 1e7}, "upstreams"},
		{lab.Config{Speed: -1}, "speed"},
		{lab.Config{Ports: 5000}, "ports"},
		{lab.Config{Addressing: 9}, "addressing"},
		{lab.Config{Mix: []lab.Share{}}, ""},
		{lab.Config{Mix: []lab.Share{{Weight: 0}}}, "mix"},
		{lab.Config{Mix: []lab.Share{{Weight: math.NaN()}}}, "mix[0]"},
		{lab.Config{Mix: []lab.Share{{Weight: 1, Latency: -1}}}, "mix[0]"},
	} {
		err := tt.cfg.Validate()
		if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
			t.Errorf("Validate(%+v) = %v, want %q", tt.cfg, err, tt.want)
		}
	}
	if _, err := lab.Start(t.Context(), lab.Config{Upstreams: -1}); err == nil {
		t.Error("Start takes a bad configuration")
	}
}

func TestAddRefuses(t *testing.T) {
	t.Parallel()
	l := start(t, lab.Config{})
	for _, u := range []lab.Upstream{
		{Protocol: 9}, {Behaviour: 99}, {Latency: -1}, {Spread: -1}, {Password: "x"},
		{Exit: netip.MustParseAddr("192.0.2.1")}, {Host: netip.MustParseAddr("10.0.0.1")},
	} {
		if ep, err := l.Add(u); err == nil {
			t.Errorf("Add(%+v) = %s", u, ep)
		}
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if ep, err := l.Add(lab.Upstream{}); err == nil {
		t.Errorf("Add after Close = %s", ep)
	}
}

func TestNames(t *testing.T) {
	t.Parallel()
	for b := lab.Healthy; b <= lab.Marked; b++ {
		text, _ := b.MarshalText()
		var back lab.Behaviour
		if err := back.UnmarshalText([]byte(strings.ReplaceAll(string(text), "_", "-"))); err != nil || back != b {
			t.Errorf("%s reads back as %s, %v", text, back, err)
		}
	}
	for _, a := range append(modes(), lab.Auto) {
		text, _ := a.MarshalText()
		var back lab.Addressing
		if err := back.UnmarshalText(text); err != nil || back != a {
			t.Errorf("%s reads back as %s, %v", text, back, err)
		}
	}
	var b lab.Behaviour
	var a lab.Addressing
	if b.UnmarshalText([]byte("nice")) == nil || a.UnmarshalText([]byte("none")) == nil {
		t.Error("names that do not exist are read")
	}
}
