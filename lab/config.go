package lab

import (
	"errors"
	"fmt"
	"log/slog"
	"time"

	"freeway/proxy"
)

// Config says what the lab consists of. The zero value is a lab with targets
// and judges but without upstreams; see Lab.Add.
type Config struct {
	// Seed determines everything that is drawn at random; 0 is a seed like any other.
	Seed uint64
	// Upstreams is how many upstreams there are from the start, 0 to 100,000. Where every
	// upstream needs a socket of its own, as many as the limit on open files allows.
	Upstreams int
	// Mix says what they are; nil is DefaultMix.
	Mix []Share
	// Speed is how much faster than real time the lab's clock runs, by which upstreams go up
	// and down; 0 means 1. Latencies are not affected: they are always in real time.
	Speed float64
	// Addressing is how upstreams get addresses of their own; the zero value chooses what works.
	Addressing Addressing
	// Listen is where lists, ground truth and status are served; "" means 127.0.0.1:0.
	Listen string
	// Ports is how many ports the upstreams share where they have addresses of their own; 0 means 8.
	Ports int
	// AllowLoopback lets upstreams reach every loopback address, not only the lab's targets.
	AllowLoopback bool
	// Log gets what goes wrong inside the lab; nil is silent.
	Log *slog.Logger
}

// Addressing is how upstreams get addresses and exits of their own.
type Addressing uint8

// The ways of addressing. The truth about each upstream is the same in all of them.
const (
	Auto       Addressing = iota // the first of the others that works here
	Wildcard                     // one socket per port, tied to the loopback device, serves all of 127.0.0.0/8 (Linux)
	PerAddress                   // one socket per upstream, on 127.x.y.z; exits are real (Linux)
	PerPort                      // all on 127.0.0.1, a port each; exits exist only for the lab's targets and judges
)

// addressingNames has the names in the order of the constants.
var addressingNames = [...]string{"auto", "wildcard", "per-address", "per-port"}

// String returns the name.
func (a Addressing) String() string {
	if int(a) < len(addressingNames) {
		return addressingNames[a]
	}
	return "addressing"
}

// MarshalText prints the name.
func (a Addressing) MarshalText() ([]byte, error) { return []byte(a.String()), nil }

// UnmarshalText reads a name.
func (a *Addressing) UnmarshalText(text []byte) error {
	for i, n := range addressingNames {
		if n == string(text) {
			*a = Addressing(i)
			return nil
		}
	}
	return fmt.Errorf("unknown addressing %.40q; use auto, wildcard, per-address or per-port", text)
}

// Share is one kind of upstream in a Mix.
type Share struct {
	Behaviour Behaviour
	// Weight is how many there are in proportion to the sum of all weights. Shares are exact, rounded by largest remainder.
	Weight float64
	// Protocols are drawn from, evenly, repetitions counting; nil means mostly HTTP, as in public lists.
	Protocols []proxy.Protocol
	// Latency is the median over the upstreams of this share; 0 means none, for Slow 30 s.
	Latency time.Duration
	// Farm is how many of the share's upstreams sit on one address, at different ports; 0 and 1 mean one.
	Farm int
	// OtherExit is the part, 0 to 1, of those that leave from another address than they listen on.
	OtherExit float64
}

// maxUpstreams keeps addresses and memory in reason.
const maxUpstreams = 100_000

// Validate reports all mistakes at once.
func (c Config) Validate() error {
	var errs []error
	if c.Upstreams < 0 || c.Upstreams > maxUpstreams {
		errs = append(errs, fmt.Errorf("upstreams: %d is not between 0 and %d", c.Upstreams, maxUpstreams))
	}
	if c.Speed < 0 || c.Speed > 1e6 {
		errs = append(errs, fmt.Errorf("speed: %v is not between 0 and 1000000", c.Speed))
	}
	if c.Ports < 0 || c.Ports > 1000 {
		errs = append(errs, fmt.Errorf("ports: %d is not between 0 and 1000", c.Ports))
	}
	if c.Addressing > PerPort {
		errs = append(errs, errors.New("addressing: no such kind"))
	}
	var sum float64
	for i, s := range c.Mix {
		sum += s.Weight
		if !(s.Weight >= 0) || int(s.Behaviour) >= len(behaviourNames) || s.Latency < 0 || s.Farm < 0 || s.OtherExit < 0 || s.OtherExit > 1 {
			errs = append(errs, fmt.Errorf("mix[%d]: a value is out of range", i))
		}
	}
	if len(c.Mix) > 0 && sum <= 0 {
		errs = append(errs, errors.New("mix: the weights add up to nothing"))
	}
	return errors.Join(errs...)
}

// withDefaults fills in what zero values mean.
func (c Config) withDefaults() Config {
	if c.Speed == 0 {
		c.Speed = 1
	}
	if c.Ports == 0 {
		c.Ports = 8
	}
	if c.Listen == "" {
		c.Listen = "127.0.0.1:0"
	}
	if c.Mix == nil {
		c.Mix = DefaultMix()
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return c
}
