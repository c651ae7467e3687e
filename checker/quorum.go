package checker

import (
	"context"
	"fmt"

	"freeway/proxy"
)

// One operator's word is not enough to call a proxy live: its pages may be
// served by an edge that takes everything for a request to its own customers,
// or it may lie. A judge whose answers are signed with a key that only checker
// and judge know is enough, and so is any for a proxy that is live already.

const soleNote = "only one operator of judges can be asked this way: its word alone counts"

// agreed reports whether the steps that worked are enough to call the proxy live.
func (t *try) agreed(steps ...*step) bool {
	first := ""
	for _, s := range steps {
		if !s.ok() {
			continue
		}
		op := s.judge.operator()
		if t.live || s.judge.known().signed || first != "" && op != first {
			return true
		}
		first = op
	}
	return false
}

// second asks another operator where the first is not enough, in a way that has
// worked. A proxy that does not reach it fails, as it would have with that one alone.
func (t *try) second(ctx context.Context, r *result, tunnel, plain *step) {
	if t.agreed(tunnel, plain) {
		return
	}
	for _, s := range []*step{tunnel, plain} {
		if !s.ok() {
			continue
		}
		others := t.s.others(s.judge)
		if len(others) == 0 {
			continue
		}
		t.budget.more() // the first one's turn may have cost much
		other := t.ask(ctx, others)
		r.second(t.own, s, other)
		return
	}
	r.notes = append(r.notes, soleNote)
}

// second adds to a result what the second operator made of it.
func (r *result) second(own *ownAddrs, first, other *step) {
	if other.ok() && own.has(other.seen.Remote) {
		other.fault = &fault{stage: proxy.StageVerify, class: proxy.SelfExit, why: "it leaves from our own address"}
	}
	r.note("second operator", other)
	if other.fault != nil {
		r.fail(other)
		return
	}
	r.compareExits(first.seen.Remote, "for the first operator", other.seen.Remote, "for the second")
}

// fail makes a result that had passed one that failed at a later step.
func (r *result) fail(s *step) {
	f := s.fault
	r.fault, r.phases = f, s.phases
	if s.judge != nil {
		r.judge = s.judge
	}
	r.canceled = f.class == proxy.Canceled
	r.learned = nil // nothing that an unproven proxy says is believed
	if f.tampers != "" {
		r.learned = &proxy.Traits{Tampers: f.tampers}
	}
	r.suspect(s)
}

// others returns up to three judges that are up, of other operators than e's and
// asked in the same way, best first, one for each operator.
func (s *settings) others(e *examiner) []*examiner {
	seen := map[string]bool{e.operator(): true}
	var out []*examiner
	for _, o := range s.ranked(e.to.TLS, e.operator()) {
		if !seen[o.operator()] && len(out) < maxOthers {
			seen[o.operator()] = true
			out = append(out, o)
		}
	}
	return out
}

// maxOthers is how many operators may refuse to be the second.
const maxOthers = 3

// quorum says for people whose word makes a proxy live; "" when nobody is up.
func (s *settings) quorum() string {
	ops, signed := map[string]bool{}, false
	for _, e := range s.judges {
		if e.isUp() {
			ops[e.operator()] = true
			signed = signed || e.known().signed
		}
	}
	switch {
	case signed:
		return "a judge with a key, or two operators"
	case len(ops) > 1:
		return fmt.Sprintf("two of %d operators", len(ops))
	case len(ops) == 1:
		return "one operator alone: no other is up, and it has no key"
	}
	return ""
}
