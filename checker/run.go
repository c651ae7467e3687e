package checker

import (
	"context"
	"fmt"
	"time"

	"freeway/proxy"
)

// slow is from when on a tunnel is slow to open. One that is would keep a check
// several times as long if everything came after everything else.
const slow = time.Second

// run tests one protocol: the tunnel first, because it shows whether there is a
// proxy at all before any judge is bothered, then plain HTTP; what else is worth
// doing with one that passes comes at last, or beside plain HTTP where it is slow.
func (t *try) run(ctx context.Context) *result {
	tunnel, plain := t.ask(ctx, t.tunnelJudges()), new(step)
	if tunnel.ok() { // a slow tunnel must not spare it the look at plain HTTP
		t.budget.more()
	}
	var beside *errands
	defer func() { beside.end() }()
	if t.worthPlain(tunnel) {
		avoid := ""
		if tunnel.judge != nil {
			avoid = tunnel.judge.operator()
		}
		judges := t.s.pick(false, avoid)
		if tunnel.ok() && tunnel.phases.Total() > slow && len(judges) > 0 {
			beside = t.errands(ctx, tunnel, judges[0])
		}
		plain = t.ask(ctx, judges)
	}
	r := t.conclude(tunnel, plain)
	if r.passed() {
		t.finish(ctx, r, tunnel, plain, beside)
	}
	return r
}

// finish does what is worth doing only with a proxy that has passed so far; each
// step may find that it has not.
func (t *try) finish(ctx context.Context, r *result, tunnel, plain *step, beside *errands) {
	if !r.passed() {
		return
	}
	t.exits(r, tunnel, plain)
	for _, more := range []func(){
		func() { t.wayBack(r, plain) },
		func() { t.second(ctx, r, tunnel, plain) },
		func() {
			if beside == nil || r.plain != nil && beside.pages != t.pages(r.plain) { // none, or the pages of a judge that did not answer
				beside.end()
				beside = t.errands(ctx, tunnel, r.plain)
				defer beside.end()
			}
			beside.take(t, r)
		},
	} {
		if r.passed() {
			more()
		}
	}
}

// worthPlain reports whether a plain request can still say something after the tunnel.
func (t *try) worthPlain(tunnel *step) bool {
	switch f := tunnel.fault; {
	case f == nil:
		return true // worked, or there was no judge for it
	case f.stage <= proxy.StageTLS || !t.spoken(tunnel):
		return false
	default:
		switch f.class {
		case proxy.Canceled, proxy.Tampered, proxy.AuthRequired, proxy.Timeout: // who was waited for once is not waited for again
			return false
		}
		return true
	}
}

// conclude makes one result of both steps.
func (t *try) conclude(tunnel, plain *step) *result {
	r := &result{ep: t.ep, judge: t.lastJudge(tunnel, plain)}
	r.speaks = t.spoken(tunnel) || plain.granted
	r.reveal = max(tunnel.reveal, plain.reveal)
	main, f := tunnel, t.blame(tunnel, plain)
	if f == nil && !tunnel.ok() || f != nil && f == plain.fault {
		main = plain
	}
	if main.judge != nil {
		r.judge = main.judge
	}
	r.fault, r.phases = f, main.phases
	r.note("tunnel", tunnel)
	r.note("plain HTTP", plain)
	if f == nil {
		r.learned = t.learn(tunnel, plain)
		if plain.ok() {
			r.plain = plain.judge
		}
		return r
	}
	r.canceled = f.class == proxy.Canceled
	if traits := t.lost(tunnel, plain); traits != (proxy.Traits{}) {
		r.learned = &traits
	}
	r.suspect(tunnel, plain)
	return r
}

// spoken reports whether a step got an answer in the protocol, whatever it said.
func (t *try) spoken(s *step) bool {
	f := s.fault
	switch {
	case s.granted || s.reveal.protocol() == t.ep.Protocol:
		return true
	case f == nil || s.reveal.protocol() != 0: // an answer in another one
		return false
	}
	switch f.class {
	case proxy.AuthRequired, proxy.NoConnect, proxy.PortDenied, proxy.BadGateway, proxy.Rejected:
		return true
	}
	return false
}

// lastJudge returns who was asked last, nil for nobody.
func (t *try) lastJudge(steps ...*step) *examiner {
	var last *examiner
	for _, s := range steps {
		if s.judge != nil {
			last = s.judge
		}
	}
	return last
}

// blame decides whether the protocol passed, and if not, which fault says it best.
// One good answer is enough, but not next to a tampered one.
func (t *try) blame(tunnel, plain *step) *fault {
	for _, s := range []*step{tunnel, plain} {
		if s.class() == proxy.Tampered {
			return s.fault
		}
	}
	for _, s := range []*step{tunnel, plain} {
		if s.ok() && t.own.has(s.seen.Remote) {
			return &fault{stage: proxy.StageVerify, class: proxy.SelfExit, why: "it leaves from our own address"}
		}
	}
	switch {
	case tunnel.ok() || plain.ok():
		return nil
	case !tunnel.ran && !plain.ran:
		return &fault{stage: proxy.StageConnect, class: proxy.Canceled, why: "no judge is up"}
	case !tunnel.ran || plain.ran && plain.fault.stage > tunnel.fault.stage:
		return plain.fault
	}
	return tunnel.fault
}

// suspect notes who besides the proxy may be at fault: judges for everything
// behind the handshake and for what a proxy says of them; the own network for silence.
func (r *result) suspect(steps ...*step) {
	for _, s := range steps {
		if s.fault == nil {
			continue
		}
		f := s.fault
		switch f.class {
		case proxy.Timeout, proxy.Unreachable, proxy.DNS:
			r.network = true
		}
		mentioned := f.class == proxy.BadGateway || f.class == proxy.Timeout || f.class == proxy.TargetFailed
		if f.stage >= proxy.StageTunnel || f.stage == proxy.StageHandshake && mentioned {
			r.judges = append(r.judges, s.judge)
			if e := s.judge; f.class == proxy.Tampered && e.known().mac {
				r.unless(func() bool { return !e.known().mac }) // it does not sign any more
			}
		}
	}
}

// learn returns what a proxy that passed can do.
func (t *try) learn(tunnel, plain *step) *proxy.Traits {
	l := t.lost(tunnel, plain)
	for _, s := range []*step{plain, tunnel} { // what verified TLS says counts more
		if !s.ok() {
			continue
		}
		l.ExitIP = s.seen.Remote
		if to := s.judge.to; !to.Addr().IsValid() {
			l.RemoteDNS = proxy.TriOf(!s.literal)
		} else if to.Addr().Is6() {
			l.IPv6 = proxy.Yes
		}
	}
	if tunnel.ok() {
		l.Tunnel = proxy.Yes
		if tunnel.judge.to.Port != 443 {
			l.TunnelAny = proxy.Yes
		}
	}
	if plain.fault != nil {
		t.unseen(&l)
	}
	if plain.ok() {
		l.Anonymity = grade(*plain.seen, plain.judge.known().base, t.own)
		if t.ep.Protocol.IsSOCKS() {
			l.TunnelAny = proxy.Yes
		} else {
			l.Forward = proxy.Yes
		}
	}
	return &l
}

// unseen denies plain HTTP to a proxy whose treatment of it nobody has seen yet:
// its tunnel works, but what it does to pages is not known.
func (t *try) unseen(l *proxy.Traits) {
	switch {
	case t.ep.Protocol.IsSOCKS() && t.known.TunnelAny != proxy.Yes:
		l.TunnelAny = proxy.No
	case !t.ep.Protocol.IsSOCKS() && t.known.Forward != proxy.Yes:
		l.Forward = proxy.No
	}
}

// lost returns the abilities that definite answers deny, and what the proxy was caught at.
func (t *try) lost(tunnel, plain *step) proxy.Traits {
	var l proxy.Traits
	switch tunnel.class() {
	case proxy.NoConnect:
		l.Tunnel, l.TunnelAny = proxy.No, proxy.No
	case proxy.PortDenied:
		t.denied(&l, tunnel.judge.to.Port)
	case proxy.Rejected, proxy.BadTLS, proxy.Truncated, proxy.WrongContent:
		if tunnel.granted || tunnel.class() == proxy.Rejected {
			l.Tunnel = proxy.No
		}
	}
	switch plain.class() {
	case proxy.Rejected, proxy.WrongContent, proxy.Truncated, proxy.Garbage:
		if !t.ep.Protocol.IsSOCKS() {
			l.Forward = proxy.No
		}
	case proxy.PortDenied:
		t.denied(&l, plain.judge.to.Port)
	}
	for _, s := range []*step{tunnel, plain} {
		if s.class() == proxy.Tampered {
			l.Tampers = s.fault.tampers
		}
	}
	return l
}

// denied notes that a port may not be reached.
func (t *try) denied(l *proxy.Traits, port uint16) {
	if port == 443 {
		l.Tunnel = proxy.No
	} else {
		l.TunnelAny = proxy.No
	}
}

// unless notes what makes the fault somebody else's if it turns out later.
func (r *result) unless(excuse func() bool) { r.excuses = append(r.excuses, excuse) }

// note says for people how a step went.
func (r *result) note(name string, s *step) {
	if !s.ran {
		return
	}
	if s.fault != nil {
		r.notes = append(r.notes, fmt.Sprintf("%s: %v", name, s.fault))
		return
	}
	r.notes = append(r.notes, fmt.Sprintf("%s: seen as %s after %v", name, s.seen.Remote, s.phases.Total().Round(time.Millisecond)))
}
