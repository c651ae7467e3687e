package checker

import (
	"context"
	"fmt"
	"slices"
	"time"

	"freeway/proxy"
)

// check is the test of one address. Nothing of it is shared with any other.
type check struct {
	c       *Checker
	s       *settings
	own     *ownAddrs
	job     proxy.Job
	byEntry []*result  // of job.Entries, in their order
	tried   [5]*result // by protocol, without credentials
	settled *result    // the address itself does not answer: it goes for everything
	began   time.Time  // monotonic

	prepared *try   // for the first protocol, by sendAhead; nil: there is none, or it was used
	ahead    *ahead // of prepared; nil: no scout was sent
	panicked bool   // in sendAhead
}

// result is what came of one protocol.
type result struct {
	ep       proxy.Endpoint
	fault    *fault // nil: it passed
	speaks   bool   // the protocol is spoken, whether or not the proxy works
	reveal   reveal
	judge    *examiner // who was asked last, or would have been
	plain    *examiner // who answered by plain HTTP; nil: nobody
	phases   proxy.Phases
	learned  *proxy.Traits
	notes    []string
	reached  []string      // names of the per-target checks that passed
	judges   []*examiner   // whose outage could be the reason of the fault
	network  bool          // an outage of our own network could be the reason
	excuses  []func() bool // what direct requests may show later that makes the fault another's
	canceled bool          // ctx ended, or we lack resources: nothing can be said
}

// passed reports whether the proxy works by this protocol.
func (r *result) passed() bool { return r.fault == nil }

// run tests everything that is claimed and, where that is not settled, what else it may be.
func (k *check) run(ctx context.Context) {
	k.byEntry = make([]*result, len(k.job.Entries))
	for _, i := range k.order() {
		if k.ended(ctx) {
			return
		}
		k.byEntry[i] = k.entry(ctx, &k.job.Entries[i])
	}
	if k.mayExplore() {
		k.explore(ctx)
	}
}

// order returns the indices of the entries: those of one protocol together, as
// proxy.Protocols has them.
func (k *check) order() []int {
	order := make([]int, 0, len(k.job.Entries))
	for _, p := range proxy.Protocols() {
		for i := range k.job.Entries {
			if k.job.Entries[i].Endpoint.Protocol == p {
				order = append(order, i)
			}
		}
	}
	return order
}

// ended reports whether it makes no sense to go on.
func (k *check) ended(ctx context.Context) bool {
	canceled := func(r *result) bool { return r != nil && r.canceled }
	return ctx.Err() != nil || slices.ContainsFunc(k.byEntry, canceled) || slices.ContainsFunc(k.tried[:], canceled)
}

// all returns every result so far, each once.
func (k *check) all() []*result {
	out := make([]*result, 0, len(k.byEntry)+len(k.tried))
	add := func(r *result) {
		if r != nil && !slices.Contains(out, r) {
			out = append(out, r)
		}
	}
	for _, r := range k.byEntry {
		add(r)
	}
	for _, p := range proxy.Protocols() {
		add(k.tried[p])
	}
	return out
}

// entry tests what one list or operator claims.
func (k *check) entry(ctx context.Context, e *proxy.Entry) *result {
	if k.settled != nil {
		return k.settled
	}
	if e.Endpoint.User != "" { // credentials go to the claimed protocol and to nothing else
		return k.probe(ctx, e.Endpoint, e)
	}
	if plainFirst(e) {
		plain := k.anonymous(ctx, proxy.HTTP)
		switch {
		case k.settled != nil || plain.canceled || plain.reveal == revealSilent || plain.reveal == revealForeign:
			return plain
		case plain.speaks || plain.reveal.protocol().IsSOCKS():
			return &result{ep: e.Endpoint, reveal: plain.reveal, judge: plain.judge,
				fault: &fault{stage: proxy.StageTLS, class: proxy.Garbage, why: "it speaks another protocol"}}
		}
	}
	if r := k.tried[e.Endpoint.Protocol]; r != nil {
		return r
	}
	r := k.probe(ctx, e.Endpoint, e)
	k.tried[e.Endpoint.Protocol] = r
	return r
}

// plainFirst reports whether an HTTPS entry is tested as HTTP first: lists write
// https for HTTP proxies that can tunnel, and what speaks plain HTTP does not speak
// TLS at the same port.
func plainFirst(e *proxy.Entry) bool {
	return e.Endpoint.User == "" && e.Endpoint.Protocol == proxy.HTTPS && e.LastLive.IsZero()
}

// first returns what entry tests first of the first entry, and what claims it, nil for nobody.
func (k *check) first() (proxy.Endpoint, *proxy.Entry) {
	e := &k.job.Entries[k.order()[0]]
	if plainFirst(e) {
		ep := k.at(proxy.HTTP)
		return ep, k.claimed(ep)
	}
	return e.Endpoint, e
}

// at returns the endpoint of a protocol without credentials.
func (k *check) at(p proxy.Protocol) proxy.Endpoint {
	return proxy.Endpoint{Protocol: p, Host: k.job.Host, Port: k.job.Port}
}

// anonymous tests a protocol that need not be claimed, without credentials, once.
func (k *check) anonymous(ctx context.Context, p proxy.Protocol) *result {
	if r := k.tried[p]; r != nil {
		return r
	}
	ep := k.at(p)
	r := k.probe(ctx, ep, k.claimed(ep))
	k.tried[p] = r
	return r
}

// claimed returns the entry of the job that has an endpoint, nil for none.
func (k *check) claimed(ep proxy.Endpoint) *proxy.Entry {
	for i := range k.job.Entries {
		if k.job.Entries[i].Endpoint == ep {
			return &k.job.Entries[i]
		}
	}
	return nil
}

// mayExplore reports whether other protocols than the claimed ones are worth a
// try: when none is claimed, or at the first check, and no claimed one is spoken.
func (k *check) mayExplore() bool {
	worth := false
	for i, r := range k.byEntry {
		if r == nil || r.passed() || r.speaks || r.canceled || k.settled != nil {
			return false
		}
		e := &k.job.Entries[i]
		worth = worth || e.Endpoint.User == "" && (e.Guess || e.LastChecked.IsZero())
	}
	return worth
}

// explore tries the protocols that the peer's answers suggest.
func (k *check) explore(ctx context.Context) {
	hint := revealNothing
	for _, r := range k.all() {
		hint = max(hint, r.reveal)
	}
	for !k.ended(ctx) {
		p := k.next(hint)
		if p == 0 {
			break
		}
		r := k.anonymous(ctx, p)
		if r.passed() || k.settled != nil {
			return
		}
		if r.reveal != revealNothing {
			hint = r.reveal
		}
	}
	if r := k.tried[proxy.HTTP]; r != nil && r.reveal == revealClosed && !k.ended(ctx) {
		k.forwardOnly(ctx, r)
	}
}

// next returns what to try after what was revealed, 0 for nothing more. One that
// hangs up may be any other protocol. One that hung up on one and waits for more
// of another may be waiting for TLS. Else silence and foreign bytes end the search.
func (k *check) next(hint reveal) proxy.Protocol {
	options := []proxy.Protocol{hint.protocol()}
	switch {
	case hint == revealClosed:
		options = proxy.Protocols()
	case hint == revealSilent && slices.ContainsFunc(k.all(), func(r *result) bool { return r.reveal == revealClosed }):
		options = []proxy.Protocol{proxy.HTTPS}
	}
	for _, p := range options {
		if p != 0 && k.tried[p] == nil {
			return p
		}
	}
	return 0
}

// forwardOnly is the last resort for a peer that hung up on CONNECT and speaks
// nothing else: some proxies do so and forward plain HTTP all the same.
func (k *check) forwardOnly(ctx context.Context, r *result) {
	if r.judge == nil || !r.judge.to.TLS {
		return // it was asked to forward at once
	}
	t := k.try(r.ep, nil)
	judges := slices.DeleteFunc(k.s.pick(false, ""), (*examiner).limited) // it has not earned a turn
	s := t.ask(ctx, judges)
	if !s.ran || s.fault != nil && s.reveal == revealClosed {
		return
	}
	*r = *t.conclude(&step{}, s)
	t.finish(ctx, r, &step{}, s, nil)
}

// try prepares the test of one protocol.
func (k *check) try(ep proxy.Endpoint, e *proxy.Entry) *try {
	t := &try{c: k.c, s: k.s, own: k.own, ep: ep, budget: budget{left: k.c.maxSteps * k.s.cfg.Timeout, step: k.s.cfg.Timeout}}
	var password proxy.Secret
	if e != nil {
		password, t.known, t.live = e.Password, e.Traits, e.State == proxy.Live
	}
	t.fresh = wantsCanary(e)
	t.unsure = ep.User == "" && (e == nil || e.Guess || e.LastChecked.IsZero())
	t.limits = k.c.limitsFor(k.s, t.live)
	t.via = k.s.dialer.Via(ep, password)
	return t
}

// probe tests one protocol in all steps.
func (k *check) probe(ctx context.Context, ep proxy.Endpoint, e *proxy.Entry) *result {
	t := k.prepared
	if t == nil || t.ep != ep {
		t = k.try(ep, e)
	} else {
		k.prepared = nil
	}
	r := t.run(ctx)
	if r.fault != nil && r.fault.stage <= proxy.StageConnect && !r.canceled {
		k.settled = r
	}
	return r
}

// verdict puts the results together.
func (k *check) verdict() proxy.Verdict {
	v := proxy.Verdict{Job: k.job, Outcomes: make([]proxy.Outcome, 0, len(k.byEntry))}
	for i, r := range k.byEntry {
		v.Outcomes = append(v.Outcomes, k.outcome(k.job.Entries[i].Endpoint, r))
	}
	for _, p := range proxy.Protocols() {
		r := k.tried[p]
		// One that answers in a protocol is found even if it fails, but only a proxy is worth keeping.
		if r != nil && (r.passed() || r.fault.class == proxy.Tampered) && k.claimed(r.ep) == nil {
			v.Found = append(v.Found, proxy.Candidate{Endpoint: r.ep, Pool: k.job.Entries[0].Pool})
			v.Outcomes = append(v.Outcomes, k.outcome(r.ep, r))
		}
	}
	if len(k.s.targets) > 0 {
		v.Reached = map[proxy.Endpoint][]string{}
	}
	for _, r := range k.all() {
		if len(r.reached) > 0 {
			v.Reached[r.ep] = r.reached
		}
		for _, n := range r.notes {
			v.Notes = append(v.Notes, fmt.Sprintf("%s: %s", r.ep.Protocol, n))
		}
	}
	return v
}

// outcome states a result for an endpoint: that of the result itself, or one that it settles as well.
func (k *check) outcome(ep proxy.Endpoint, r *result) proxy.Outcome {
	o := proxy.Outcome{Endpoint: ep, At: k.c.now(), Origin: proxy.FromCheck, Stage: proxy.StageVerify, Phases: r.phases, Learned: r.learned}
	if r.judge != nil {
		o.Target = r.judge.to
	}
	if f := r.fault; f != nil {
		o.Stage, o.Class, o.Status = f.stage, f.class, f.status
	}
	return o
}
