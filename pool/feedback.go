package pool

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"

	"freeway/proxy"
)

// verdicts are the words of Feedback and what they mean.
var verdicts = map[string]struct {
	stage proxy.Stage
	class proxy.Class
}{
	"ok":          {proxy.StageBody, proxy.OK},
	"failed":      {proxy.StageRequest, proxy.Rejected},
	"banned":      {proxy.StageRequest, proxy.Banned},
	"captcha":     {proxy.StageRequest, proxy.Banned},
	"bad_content": {proxy.StageVerify, proxy.WrongContent},
}

// opinion is whom a Feedback is about.
type opinion struct {
	ep      proxy.Endpoint
	exit    netip.Addr
	target  proxy.Target
	session proxy.SessionKey // that was named; zero: none was
}

// Feedback takes a client's word. A session that is named as banned leaves for
// another exit with its next use, unless it is strict. It returns about how many proxies it was.
// In the error is ErrInput when the word cannot be understood, and ErrNotFound
// when it can and nothing fits.
func (p *Pool) Feedback(f Feedback) (n int, err error) {
	v, ok := verdicts[strings.ToLower(f.Verdict)]
	if !ok {
		return 0, fmt.Errorf("%w: verdict: %q is not one of ok, failed, banned, captcha, bad_content", ErrInput, f.Verdict)
	}
	about, err := p.about(f)
	if err != nil {
		return 0, err
	}
	for i := range about {
		if f.Target != "" {
			if about[i].target, err = targetOf(f.Target); err != nil {
				return 0, fmt.Errorf("%w: target: %w", ErrInput, err)
			}
		}
		if v.class == proxy.Banned && about[i].target.Domain == "" {
			return 0, fmt.Errorf("%w: target: a ban is by a target; say which", ErrInput)
		}
	}
	for _, a := range about {
		p.observe(proxy.Outcome{Endpoint: a.ep, Target: a.target, At: p.clock.now(), Stage: v.stage, Class: v.class, Origin: proxy.FromFeedback}, "", a.exit)
		if v.class == proxy.Banned && a.session != (proxy.SessionKey{}) {
			p.sessions.reject(p, a.session, a.exit)
		}
	}
	return len(about), nil
}

// targetOf reads a host, a host and port, or the URL of what was asked for there.
func targetOf(s string) (proxy.Target, error) {
	scheme, rest, ok := strings.Cut(s, "://")
	port, known := map[string]uint16{"http": 80, "https": 443, "ws": 80, "wss": 443}[strings.ToLower(scheme)]
	switch {
	case !ok:
		return proxy.ParseTarget(s, 443)
	case !known:
		return proxy.Target{}, errors.New("a URL of another kind than http and https")
	}
	if i := strings.IndexAny(rest, "/?#"); i >= 0 {
		rest = rest[:i]
	}
	return proxy.ParseTarget(rest[strings.LastIndexByte(rest, '@')+1:], port)
}

// about finds whom the feedback means.
func (p *Pool) about(f Feedback) ([]opinion, error) {
	given := 0
	for _, s := range []string{f.Proxy, f.RequestID, f.Tag, f.Session} {
		if s != "" {
			given++
		}
	}
	switch {
	case given != 1:
		return nil, fmt.Errorf("%w: say which: one of proxy, request_id, tag, session", ErrInput)
	case f.Proxy != "":
		return p.aboutProxy(f.Proxy)
	case f.Session != "":
		return p.aboutSession(f.Session)
	}
	return p.aboutRequests(f)
}

// aboutProxy finds the proxy with an id or URL. Without a target the word is
// about the proxy itself.
func (p *Pool) aboutProxy(name string) ([]opinion, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := p.findID(name)
	if n == none {
		ep, _, err := proxy.ParseURL(name)
		if err == nil {
			n = p.find(ep)
		}
	}
	if n == none {
		return nil, fmt.Errorf("%w: no such proxy", ErrNotFound)
	}
	e := p.entry(n, p.clock.now())
	return []opinion{{ep: e.Endpoint, exit: exitKey(&e)}}, nil
}

// aboutSession finds the proxy that a session used last.
func (p *Pool) aboutSession(name string) ([]opinion, error) {
	var found []opinion
	for _, s := range p.Sessions() {
		if s.ID == name || s.Session == name {
			found = append(found, opinion{ep: s.Endpoint, exit: s.Exit, session: proxy.SessionKey{User: s.User, ID: s.Session}})
		}
	}
	switch len(found) {
	case 0:
		return nil, fmt.Errorf("%w: no such session", ErrNotFound)
	case 1:
		return found, nil
	}
	return nil, fmt.Errorf("%w: session: several users have a session %q; give its opaque id", ErrInput, name)
}

// aboutRequests finds the proxies that answered the requests meant, or carry them now,
// each pair of proxy and target once.
func (p *Pool) aboutRequests(f Feedback) ([]opinion, error) {
	traces := p.requestsWhere(maxRequests, func(t *proxy.Trace) bool {
		return f.Tag != "" && t.Tag == f.Tag || f.RequestID != "" && t.ID == f.RequestID
	})
	var found []opinion
	seen := map[opinion]bool{}
	for _, t := range traces {
		if len(t.Attempts) == 0 {
			continue
		}
		last := t.Attempts[len(t.Attempts)-1]
		e, ok := p.Find(last.Endpoint)
		if !ok {
			continue
		}
		if o := (opinion{ep: e.Endpoint, exit: exitKey(&e), target: t.Target}); !seen[o] {
			seen[o] = true
			found = append(found, o)
		}
	}
	if len(found) == 0 {
		return nil, fmt.Errorf("%w: no such request among the latest %d", ErrNotFound, maxRequests)
	}
	return found, nil
}
