package checker

import (
	"context"
	"errors"
	"strings"

	"freeway/internal/judge"
	"freeway/proxy"
)

// canaryEvery is how many checks of a proxy pass until it is asked for the canary
// pages again. The first one that would pass asks for them, too.
const canaryEvery = 10

// form is one way to ask for a canary page.
type form struct {
	page   judge.Canary
	zipped bool
}

// accept returns the Accept-Encoding header.
func (f form) accept() string {
	if f.zipped {
		return "gzip"
	}
	return "identity"
}

// name says which it is, for people.
func (f form) name() string {
	if f.zipped {
		return f.page.Name + ", compressed"
	}
	return f.page.Name
}

// forms returns all ways to ask, in the order in which they are likely to show something.
func forms() []form {
	pages := judge.Canaries()
	out := []form{{pages[0], true}}
	for _, c := range pages {
		out = append(out, form{c, false})
	}
	return out
}

// canaryAt returns the path of a canary page, beside the judge's own.
func (p page) canaryAt(name string) page {
	path, _, _ := strings.Cut(p.path, "?")
	p.path = path[:strings.LastIndexByte(path, '/')+1] + name
	return p
}

// ask is the question for a canary page, with a nonce so that no cache has it.
func (f form) ask(p page) question {
	at := p.canaryAt(f.page.Name)
	return question{page: at, path: at.with(newNonce()), accept: f.accept(), maxBody: judge.MaxAnswer}
}

// weigh compares an answer with the page. What came only packed otherwise is said in note.
func (f form) weigh(a answer) (note string, _ *fault) {
	if a.status != 200 {
		return "", &fault{stage: proxy.StageRequest, class: statusClass(a.status, false), status: a.status}
	}
	packed, err := f.page.Check(a.body, a.encoding(), f.zipped)
	if err == nil {
		return packed, nil
	}
	bad := &fault{stage: proxy.StageVerify, class: proxy.WrongContent, status: a.status, why: f.name() + ": " + err.Error()}
	switch {
	case errors.Is(err, judge.ErrCut):
		bad.stage, bad.class = proxy.StageBody, proxy.Truncated
	case errors.Is(err, judge.ErrAltered):
		bad.class, bad.tampers = proxy.Tampered, "content: "+bad.why
	}
	return "", bad
}

// wantsCanary reports whether it is the proxy's turn: at the first check, and at every tenth.
func wantsCanary(e *proxy.Entry) bool { return e == nil || e.Checks.OK%canaryEvery == 0 }

// canaryJudge returns a judge whose pages can be compared, rather the one that has just answered; nil for none.
func (s *settings) canaryJudge(last *examiner) *examiner {
	for _, e := range append([]*examiner{last}, s.ranked(false, "")...) {
		if e.known().canary {
			return e
		}
	}
	return nil
}

// pages returns the judge whose canary pages are asked for, by plain HTTP as plain
// is asked; nil for nobody's.
func (t *try) pages(plain *examiner) *examiner {
	if !t.fresh || plain == nil {
		return nil
	}
	return t.s.canaryJudge(plain)
}

// canaries are the errands for the canary pages by plain HTTP. One that comes
// changed, or not at all, fails the check; not if it is the judge that is out of reach.
func (t *try) canaries(e *examiner) []errand {
	if e == nil {
		return nil
	}
	var out []errand
	away := false // the judge is out of reach
	for _, f := range forms() {
		s, note := new(step), ""
		out = append(out, errand{canary: true,
			run: func(ctx context.Context, u *try) {
				*s = step{ran: true, judge: e}
				note = u.fetch(ctx, f, s)
			},
			again: func(*result) bool { return !away && s.fault.again() },
			take: func(r *result) {
				if !away {
					away = t.canary(r, f, s, note)
				}
			}})
	}
	return out
}

// canary weighs one page. It reports whether the judge, another one than has answered
// this check, is out of reach.
func (t *try) canary(r *result, f form, s *step, note string) bool {
	if note != "" {
		r.notes = append(r.notes, "canary: "+f.name()+": "+note)
	}
	if s.fault == nil {
		t.cookies(r, s)
		return false
	}
	r.note("canary", s)
	if c := s.class(); s.judge != r.plain && (c == proxy.Banned || c == proxy.TargetFailed || c == proxy.BadGateway) {
		return true
	}
	r.fail(s)
	e := s.judge
	e.doubted.Store(true)
	r.unless(func() bool { return !e.known().canary })
	return false
}

// fetch gets one page through the proxy.
func (t *try) fetch(ctx context.Context, f form, s *step) (note string) {
	conn := t.open(ctx, s.judge, s)
	if conn == nil {
		return ""
	}
	defer conn.Close()
	ctx, stop := t.budget.start(ctx, t.budget.step)
	defer stop()
	q := f.ask(s.judge.page)
	if t.forwards(&q.page) {
		q.whole, q.auth = true, t.via.ProxyAuthorization()
	}
	a, bad := askOver(ctx, t.budget.step, conn, q, t.s.roots)
	s.phases.FirstByte, s.header = a.wait, a.header
	if bad == nil {
		note, bad = f.weigh(a)
	}
	s.fault = bad
	return note
}

// canariesDirectly gets all pages without a proxy. Unless they come as they are,
// nobody can be measured by them.
func (c *Checker) canariesDirectly(ctx context.Context, s *settings, e *examiner, out *sightingOf) {
	e.doubted.Store(false)
	out.canary, out.canaryWhy = false, ""
	for _, f := range forms() {
		raw, err := c.direct(ctx, "tcp", e.to.String())
		if err != nil {
			out.canaryWhy = faultOf(ctx, proxy.StageConnect, err).Error()
			return
		}
		a, bad := askOver(ctx, s.cfg.Timeout, raw, f.ask(e.page), s.roots)
		raw.Close()
		note := ""
		if bad == nil {
			note, bad = f.weigh(a)
		}
		switch {
		case bad != nil:
			out.canaryWhy = bad.Error()
			return
		case note != "":
			out.canaryWhy = f.name() + ": " + note
			return
		}
		out.headers.add(a.header)
	}
	out.canary = true
}
