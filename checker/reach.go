package checker

import (
	"bytes"
	"context"
	"fmt"
	"net/http"

	"freeway/internal/judge"
	"freeway/proxy"
)

// isIPv6 reports whether the page is named by an IPv6 address.
func (p page) isIPv6() bool { return p.to.Addr().Is6() && !p.to.Addr().Is4In6() }

// sixth is the errand that finds out whether IPv6 targets are reached, when a judge
// is named by an IPv6 address. It is asked again when it is the proxy's turn with the canary pages.
func (t *try) sixth(tunnel *step) []errand {
	if t.known.IPv6 != proxy.Unknown && !t.fresh || t.ep.Protocol == proxy.SOCKS4 || tunnel.ok() && tunnel.judge.isIPv6() {
		return nil // SOCKS4 has no IPv6
	}
	e := t.s.sixthJudge(tunnel.ok())
	if e == nil {
		return nil
	}
	s := new(step)
	return []errand{{
		run: func(ctx context.Context, u *try) {
			*s = step{ran: true, judge: e}
			u.askOne(ctx, e, s)
		},
		again: func(r *result) bool { // not what most say, who are asked again in ten checks
			return r.learned.IPv6 == proxy.Unknown && s.fault.again() && s.class() != proxy.BadGateway
		},
		take: func(r *result) {
			if r.learned.IPv6 == proxy.Unknown {
				r.sixth(s)
			}
		}}}
}

// sixth adds to a result what came of asking for an IPv6 target.
func (r *result) sixth(s *step) {
	switch s.class() {
	case proxy.OK:
		r.learned.IPv6 = proxy.Yes
	case proxy.BadGateway, proxy.Rejected, proxy.PortDenied:
		r.learned.IPv6 = proxy.No
	case proxy.Canceled:
		r.canceled = true
	case proxy.Tampered:
		r.fail(s)
	}
	r.note("IPv6", s)
}

// sixthJudge returns a judge that is up and named by an IPv6 address, rather by TLS or plain.
func (s *settings) sixthJudge(tls bool) *examiner {
	var best *examiner
	for _, e := range s.judges {
		if e.isIPv6() && e.isUp() && (best == nil || e.to.TLS == tls) {
			best = e
		}
	}
	return best
}

// otherPorts is the errand that finds out whether an HTTP proxy tunnels to other
// ports than 443, unless that is known. The judge is not asked anything.
func (t *try) otherPorts(tunnel *step) []errand {
	if !tunnel.ok() || tunnel.judge.to.Port != 443 || t.known.TunnelAny != proxy.Unknown || t.ep.Protocol.IsSOCKS() {
		return nil // of a SOCKS proxy plain HTTP shows it
	}
	for _, e := range t.s.pick(false, "") {
		if e.to.Port == 443 {
			continue
		}
		p := e.page
		p.to.TLS = true // by CONNECT, though no TLS follows
		var s step
		return []errand{{
			run: func(ctx context.Context, u *try) {
				s = step{}
				if conn := u.openTo(ctx, &p, &s); conn != nil {
					conn.Close()
				}
			},
			again: func(r *result) bool { return r.learned.TunnelAny == proxy.Unknown && s.fault.again() },
			take: func(r *result) {
				switch c := s.class(); {
				case r.learned.TunnelAny != proxy.Unknown:
				case c == proxy.OK:
					r.learned.TunnelAny = proxy.Yes
				case c == proxy.PortDenied || c == proxy.Rejected:
					r.learned.TunnelAny = proxy.No
				}
			}}}
	}
	return nil
}

// reachTargets are the errands for the configured pages. What is required and not reached
// fails the check: the use that the operator has in mind fails, at the stage
// where it does.
func (t *try) reachTargets() []errand {
	var out []errand
	for _, want := range t.s.targets {
		var f *fault
		out = append(out, errand{target: true,
			run:   func(ctx context.Context, u *try) { f = u.reach(ctx, want) },
			again: func(*result) bool { return f.again() },
			take:  func(r *result) { r.target(want, f) }})
	}
	return out
}

// target adds to a result how a configured page was reached.
func (r *result) target(want target, f *fault) {
	if f == nil {
		r.notes = append(r.notes, "target "+want.Name+": ok")
		r.reached = append(r.reached, want.Name)
		want.need.met()
		return
	}
	r.notes = append(r.notes, fmt.Sprintf("target %s: %v", want.Name, f))
	if f.class == proxy.Canceled {
		r.canceled = true
	}
	if want.Required && !r.canceled && r.fault == nil && want.need.excuse() {
		r.notes = append(r.notes, "target "+want.Name+": no proxy reaches it any more, so that does not count")
		return
	}
	if (want.Required || r.canceled) && r.fault == nil {
		r.fault = f
		r.network = f.class == proxy.Timeout || f.class == proxy.Unreachable
		r.judge = &examiner{page: want.page}
	}
}

// reach gets one page through the proxy.
func (t *try) reach(ctx context.Context, want target) *fault {
	var s step
	conn := t.openTo(ctx, &want.page, &s)
	if conn == nil {
		return s.fault
	}
	defer conn.Close()
	ctx, stop := t.budget.start(ctx, 2*t.budget.step)
	defer stop()
	q := question{page: want.page, path: want.path, maxBody: judge.MaxAnswer}
	if t.forwards(&want.page) {
		q.whole, q.auth = true, t.via.ProxyAuthorization()
	}
	a, f := askOver(ctx, t.budget.step, conn, q, t.s.roots)
	if f == nil {
		return want.weigh(a)
	}
	if f.class == proxy.Tampered { // the page's own certificate may be at fault: nobody looked at it directly
		f.class, f.tampers = proxy.BadTLS, ""
	}
	return f
}

// weigh compares an answer with what is wanted.
func (want target) weigh(a answer) *fault {
	fits := a.status >= 200 && a.status < 400
	if want.Status != 0 {
		fits = a.status == want.Status
	}
	if fits && bytes.Contains(a.content(), []byte(want.Body)) {
		return nil
	}
	f := &fault{stage: proxy.StageRequest, class: proxy.WrongContent, status: a.status, why: "not the page that is wanted"}
	if !want.to.TLS && (a.status == http.StatusBadGateway || a.status == http.StatusGatewayTimeout) {
		f.class = proxy.BadGateway // most likely the proxy's own word
	}
	switch a.status {
	case http.StatusForbidden, http.StatusTooManyRequests, http.StatusServiceUnavailable:
		f.class = proxy.Banned
	}
	return f
}
