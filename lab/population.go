package lab

import (
	"errors"
	"math"
	"math/rand/v2"
	"net/netip"
	"slices"
	"time"

	"freeway/proxy"
)

// DefaultMix is a population for demonstrations: every behaviour occurs, and in
// contrast to public lists, of which 2 % work, enough works to look at. The
// weights are percents: 31 work always or at times, 5 cheat (and are fast, as
// measured in the field), 22 are broken in some way, 42 are dead.
func DefaultMix() []Share {
	http := []proxy.Protocol{proxy.HTTP, proxy.HTTP, proxy.HTTP, proxy.HTTPS}
	socks5 := []proxy.Protocol{proxy.SOCKS5}
	const usual, fast, other = 300 * time.Millisecond, 80 * time.Millisecond, 0.28
	return []Share{
		{Behaviour: Healthy, Weight: 4.5, Latency: usual, OtherExit: other},
		{Behaviour: Healthy, Weight: 2, Latency: usual, Protocols: socks5, Farm: 6},
		{Behaviour: Transparent, Weight: 3, Latency: usual, Protocols: http, OtherExit: other},
		{Behaviour: Anonymous, Weight: 1.5, Latency: usual, Protocols: http, OtherExit: other},
		{Behaviour: RotatingExit, Weight: 0.5, Latency: usual},
		{Behaviour: Only443, Weight: 1, Latency: usual, Protocols: http},
		{Behaviour: Compress, Weight: 0.5, Latency: usual, Protocols: http},
		{Behaviour: Unzip, Weight: 0.5, Latency: usual, Protocols: http},
		{Behaviour: Marked, Weight: 0.5, Latency: usual, Protocols: http},
		{Behaviour: Stable, Weight: 4, Latency: usual, OtherExit: other},
		{Behaviour: OnOff, Weight: 5, Latency: usual},
		{Behaviour: Flapping, Weight: 6, Latency: usual},
		{Behaviour: OneShot, Weight: 2, Latency: usual},

		{Behaviour: Tamper, Weight: 2, Latency: fast},
		{Behaviour: Intercept, Weight: 1.75, Latency: fast},
		{Behaviour: LyingExit, Weight: 0.5, Latency: fast, Protocols: http},
		{Behaviour: Forger, Weight: 0.25, Latency: fast, Protocols: http},
		{Behaviour: Inject, Weight: 0.25, Latency: fast, Protocols: http},
		{Behaviour: Cookies, Weight: 0.25, Latency: fast, Protocols: http},

		{Behaviour: Slow, Weight: 2},
		{Behaviour: Flaky, Weight: 1, Latency: usual},
		{Behaviour: ResetMidBody, Weight: 1, Latency: usual},
		{Behaviour: CutBody, Weight: 1, Latency: usual},
		{Behaviour: CutBodyFramed, Weight: 1, Latency: usual},
		{Behaviour: CutLong, Weight: 0.25, Latency: usual, Protocols: http},
		{Behaviour: StaleEdge, Weight: 0.25, Latency: fast, Protocols: http},
		{Behaviour: OwnEdge, Weight: 0.5, Latency: fast, Protocols: http},
		{Behaviour: Garbage, Weight: 5},
		{Behaviour: LoginPage, Weight: 4},
		{Behaviour: ConnectForbidden, Weight: 2, Latency: usual, Protocols: http},
		{Behaviour: ConnectNotAllowed, Weight: 1.5, Latency: usual, Protocols: http},
		{Behaviour: HTMLAfter200, Weight: 1.5, Latency: usual},
		{Behaviour: Locked, Weight: 1},

		{Behaviour: Silent, Weight: 10},
		{Behaviour: Silent, Weight: 4, Protocols: socks5, Farm: 8},
		{Behaviour: SilentConnect, Weight: 16},
		{Behaviour: Refused, Weight: 12},
	}
}

// member is one upstream to be made: its share and its place in a farm, 0 for the first.
type member struct {
	share *Share
	farm  *netip.Addr // shared by the members of a farm; nil: none
}

// populate adds the upstreams of the configuration.
func (l *Lab) populate(cfg Config) error {
	rng := rand.New(rand.NewPCG(cfg.Seed, 1<<62))
	for _, m := range members(cfg.Mix, cfg.Upstreams, rng) {
		host := netip.Addr{}
		if m.farm != nil {
			host = *m.farm
		}
		n, err := l.add(m.share.draw(rng), host)
		if errors.Is(err, errNoSockets) {
			l.log.Warn("lab: fewer upstreams than asked for", "have", len(l.all), "want", cfg.Upstreams, "err", err)
			return nil
		}
		if err != nil {
			return err
		}
		if m.farm != nil && !host.IsValid() {
			*m.farm = n.home
		}
	}
	return nil
}

// members lists n upstreams in the proportions of mix, shuffled.
func members(mix []Share, n int, rng *rand.Rand) []member {
	var out []member
	for i, count := range apportion(mix, n) {
		var farm *netip.Addr
		for k := range count {
			if mix[i].Farm > 1 && k%mix[i].Farm == 0 {
				farm = new(netip.Addr)
			}
			out = append(out, member{&mix[i], farm})
		}
	}
	rng.Shuffle(len(out), func(i, j int) { out[i], out[j] = out[j], out[i] })
	return out
}

// apportion divides n by weights: whole parts first, the rest by largest remainder.
func apportion(mix []Share, n int) []int {
	var sum float64
	for _, s := range mix {
		sum += s.Weight
	}
	counts, order := make([]int, len(mix)), make([]int, len(mix))
	rest, left := make([]float64, len(mix)), n
	for i, s := range mix {
		exact := s.Weight / sum * float64(n)
		counts[i] = int(exact + 1e-9)
		rest[i], order[i] = exact-float64(counts[i]), i
		left -= counts[i]
	}
	slices.SortStableFunc(order, func(a, b int) int {
		switch {
		case rest[a] > rest[b]:
			return -1
		case rest[a] < rest[b]:
			return 1
		}
		return 0
	})
	for i := range left {
		counts[order[i]]++
	}
	return counts
}

// Latencies of a population: medians of upstreams spread lognormally around the
// share's, single answers around their upstream's.
const (
	spreadOfMedians = 0.6
	spreadOfAnswers = 0.35
)

// draw makes one upstream of the share.
func (s *Share) draw(rng *rand.Rand) Upstream {
	protocols := s.Protocols
	if len(protocols) == 0 {
		protocols = usualProtocols()
	}
	u := Upstream{Protocol: protocols[rng.IntN(len(protocols))], Behaviour: s.Behaviour}
	factor := math.Exp(spreadOfMedians * rng.NormFloat64())
	if s.Latency > 0 && s.Behaviour == Slow {
		u.Latency = s.Latency
	} else if s.Latency > 0 {
		u.MaxLatency = min(10*time.Second, 8*s.Latency)
		u.Latency, u.Spread = min(time.Duration(float64(s.Latency)*factor), u.MaxLatency), spreadOfAnswers
	}
	u.RefuseNames = u.Protocol == proxy.SOCKS4 && rng.Float64() < withoutNames
	if rng.Float64() < s.OtherExit {
		u.Exit = netip.AddrFrom4([4]byte{127, byte(200 + rng.IntN(50)), byte(rng.IntN(256)), byte(1 + rng.IntN(254))})
	}
	return u
}

// withoutNames is which part of SOCKS4 upstreams does not speak 4a.
const withoutNames = 0.3

// usualProtocols has the proportions of public lists, roughly.
func usualProtocols() []proxy.Protocol {
	return []proxy.Protocol{proxy.HTTP, proxy.HTTP, proxy.HTTP, proxy.HTTP, proxy.HTTP,
		proxy.SOCKS5, proxy.SOCKS5, proxy.SOCKS4, proxy.SOCKS4, proxy.HTTPS}
}
