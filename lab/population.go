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

// DefaultMix is a population for demonstrations.
func DefaultMix() []Share { return []Share{{Behaviour: Healthy, Weight: 1}} }

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
			*m.farm = n.addr.Addr()
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
	if rng.Float64() < s.OtherExit {
		u.Exit = netip.AddrFrom4([4]byte{127, byte(200 + rng.IntN(50)), byte(rng.IntN(256)), byte(1 + rng.IntN(254))})
	}
	return u
}

// usualProtocols has the proportions of public lists, roughly.
func usualProtocols() []proxy.Protocol {
	return []proxy.Protocol{proxy.HTTP, proxy.HTTP, proxy.HTTP, proxy.HTTP, proxy.HTTP,
		proxy.SOCKS5, proxy.SOCKS5, proxy.SOCKS4, proxy.SOCKS4, proxy.HTTPS}
}
