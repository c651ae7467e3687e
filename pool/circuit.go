package pool

import (
	"net/netip"
	"slices"
	"time"

	"freeway/proxy"
)

// spot is a port of a host. A port that is closed or a name that does not
// resolve says nothing about the rest of its domain.
type spot struct {
	host string
	port uint16
}

// spotOf is where a use went.
func spotOf(t *proxy.Target) spot { return spot{t.Host, t.Port} }

// String returns host:port, for people.
func (s spot) String() string { return proxy.Target{Host: s.host, Port: s.port}.String() }

// sight is a spot as one pool sees it: that free proxies do not get there says
// nothing about proxies of one's own.
type sight struct {
	spot
	pool string
}

// kind is a way to fail at a target. Exits agree when they fail in the same way.
type kind uint8

const (
	unreachable kind = iota // the exits could not reach it
	silent                  // they reached it, and it closed or said nothing
	strange                 // what came is not what was to be spoken
	broken                  // the answer was cut
	kinds
	other // not the target's fault, whoever agrees
)

// kindOf says how a use failed.
func kindOf(o *proxy.Outcome) kind {
	_, pair, target := o.Blame()
	switch {
	case target > 0:
		return unreachable
	case pair == 0 || o.Class == proxy.Banned:
		return other
	case o.Class == proxy.Truncated || o.Stage >= proxy.StageBody:
		return broken
	case o.Class == proxy.Timeout || o.Class == proxy.Reset || o.Class == proxy.EOF:
		return silent
	}
	return strange
}

// circuit watches over one spot as the exits of one pool see it. When several in
// a row fail there in the same way, nobody is blamed. When they could not reach it
// and none has succeeded for agreeTime, it opens, and
// nothing is sent there for a while. Other ways to fail do not open it: a proxy
// that dies in the middle looks just the same.
type circuit struct {
	touched  time.Time
	worked   bool // lately, through whatever exit
	agreed   [kinds][]suspect
	openTill time.Time
	opened   int // times in a row
}

// suspect is an exit that agrees, and what it did: outcomes whose blame waits
// for the others' word or, but for the unreachable, is taken back if they agree.
type suspect struct {
	exit     netip.Addr
	at       time.Time
	request  string // the latest
	outcomes []proxy.Outcome
	excused  bool // the others agreed, so the outcomes are charged to nobody
}

const (
	// A target that is down is answered for fast, for downTime doubled with every
	// time in a row that it is found down again, up to maxDown: nothing that was seen
	// longer ago than agreeTime speaks against a target.
	downTime = 10 * time.Second
	maxDown  = agreeTime / 2

	maxCircuits = 64 // that are remembered of a domain
	maxOutcomes = 8  // of one exit that can be taken back
)

// open reports whether nothing should be sent there now.
func (c *circuit) open(now time.Time) bool { return c != nil && now.Before(c.openTill) }

// fail notes a failure and decides whose it is; o is charged with f.weight
// unless that changes here.
func (x *target) fail(c *circuit, k kind, o proxy.Outcome, exit netip.Addr, f *finding, now time.Time) {
	if k == unreachable && c.open(now) {
		f.weight = 0 // it was under way when the others agreed
		return
	}
	x.failPair(exit, now)
	list := agreeing(c.agreed[k], exit, now, o)
	c.agreed[k] = list
	if len(list) < agree {
		if k == unreachable {
			f.weight = 0 // until the others have spoken
		}
		list[len(list)-1].again()
		return
	}
	f.weight = 0
	for i := range list {
		s := &list[i]
		x.acquit(s.exit)
		if !s.excused && k != unreachable {
			charged := s.outcomes
			if s.exit == exit {
				charged = charged[:len(charged)-1] // this one was not charged yet
			}
			f.undo = append(f.undo, charged...)
		}
		s.excused = true
	}
	if k == unreachable && !c.worked && (o.Stage <= proxy.StageHandshake || severalRequests(list)) {
		c.trip(now)
	}
}

// again begins anew with the latest outcome of an exit that was excused when
// others still agreed.
func (s *suspect) again() {
	if s.excused {
		s.excused, s.outcomes = false, s.outcomes[len(s.outcomes)-1:]
	}
}

// severalRequests reports whether more than one request failed. A single one may
// be what its target takes offence at, unless it was a tunnel that never came up.
func severalRequests(list []suspect) bool {
	first := list[0].request
	return first == "" || slices.ContainsFunc(list, func(s suspect) bool { return s.request != first })
}

// trip opens the circuit.
func (c *circuit) trip(now time.Time) {
	c.openTill = now.Add(min(downTime<<min(c.opened, 8), maxDown))
	c.opened++
	c.agreed = [kinds][]suspect{}
}

// agreeing adds an exit to those that agree; the latest are kept.
func agreeing(list []suspect, exit netip.Addr, now time.Time, o proxy.Outcome) []suspect {
	i := slices.IndexFunc(list, func(s suspect) bool { return s.exit == exit })
	if i < 0 {
		list = append(list, suspect{exit: exit})
		i = len(list) - 1
	}
	s := list[i]
	s.at, s.request = now, o.Request
	if len(s.outcomes) == maxOutcomes {
		s.outcomes = s.outcomes[1:]
	}
	s.outcomes = append(s.outcomes, o)
	list = append(slices.Delete(list, i, i+1), s) // the latest is the last
	if len(list) > agree {
		list = list[len(list)-agree:]
	}
	return list
}

// expire takes out whom nobody joined in time: their blame is their own.
func (c *circuit) expire(now time.Time) (due []proxy.Outcome) {
	for k := range c.agreed {
		list := &c.agreed[k]
		for len(*list) > 0 && now.Sub((*list)[0].at) > agreeTime {
			if s := &(*list)[0]; kind(k) == unreachable && !s.excused {
				due = append(due, s.outcomes...)
			}
			*list = (*list)[1:]
		}
	}
	return due
}

// succeed closes the circuit: its target is up, so whoever could not reach it is
// to blame. Who failed otherwise and was excused is to blame if it was for the
// request that now succeeded; another request may be one that the target breaks off.
func (c *circuit) succeed(request string) (due []proxy.Outcome) {
	for k, list := range c.agreed {
		for _, s := range list {
			for _, o := range s.outcomes {
				if kind(k) == unreachable || s.excused && o.Request != "" && o.Request == request {
					due = append(due, o)
				}
			}
		}
	}
	*c = circuit{touched: c.touched}
	return due
}

// idle reports whether there is nothing to tell any more. How often it opened is
// remembered for a while, so that a target that stays down is not tried ever
// again in short order.
func (c *circuit) idle(now time.Time) bool {
	for _, list := range c.agreed {
		if len(list) > 0 {
			return false
		}
	}
	return now.Sub(c.touched) > agreeTime && now.Sub(c.openTill) > maxDown
}

// circuit returns the one that watches over a spot for a pool, and makes it when
// there is none. The room for it is that of one that is not open, if there is any.
func (x *target) circuit(at sight, now time.Time) *circuit {
	if c := x.circuits[at]; c != nil {
		c.touched = now
		return c
	}
	if len(x.circuits) >= maxCircuits {
		var victim sight
		for s, c := range x.circuits { // maps are walked in random order
			victim = s
			if !c.open(now) {
				break
			}
		}
		delete(x.circuits, victim)
	}
	c := &circuit{touched: now}
	x.circuits[at] = c
	return c
}
