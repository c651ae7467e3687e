package gateway

import (
	"context"
	"encoding/base64"
	"net/netip"
	"strings"
	"time"

	"freeway/internal/http1"
)

// login is what a client says of itself.
type login struct {
	user, password string
	given          bool
	foreign        bool // another scheme than Basic
	nopass         bool // the protocol carries no password: SOCKS4
}

// who is the client of one request, admitted.
type who struct {
	name string // configured, or as the client says where nobody needs a user
	user *user  // nil: none configured, or let in by address
	opt  Options
}

// basicLogin reads the Proxy-Authorization field. Another scheme than Basic is
// not a login; clients that need none may send it.
func basicLogin(h http1.Header) (login, *refusal) {
	switch h.Count("Proxy-Authorization") {
	case 0:
		return login{}, nil
	case 1:
	default:
		return login{}, refusef(codeBadRequest, "Proxy-Authorization is given twice")
	}
	scheme, coded, _ := strings.Cut(h.Get("Proxy-Authorization"), " ")
	if !http1.EqualFold(scheme, "Basic") {
		return login{foreign: true}, nil
	}
	text, err := base64.StdEncoding.DecodeString(strings.TrimLeft(coded, " "))
	user, password, ok := strings.Cut(string(text), ":")
	if err != nil || !ok {
		return login{}, refusef(codeAuth, "Proxy-Authorization is not readable; use Basic")
	}
	return login{user: user, password: password, given: true}, nil
}

// authorize decides who the client is and what it asks for. header is the
// value of Freeway-Options.
func (c *client) authorize(s *settings, l login, header string, w *who) *refusal {
	free := s.users == nil && len(s.cfg.AllowClients) == 0 || contains(s.cfg.AllowClients, c.ip)
	switch {
	case l.foreign && !free:
		return refusef(codeAuth, "Proxy-Authorization is not readable; use Basic")
	case !l.given && !free:
		return refusef(codeAuth, "a user is needed")
	}
	var err error
	if l.given {
		w.name, w.opt, err = parseUser(l.user, s.find())
		if err != nil && w.name == "" { // nobody has such a name, so it is no guess at a password
			return refusef(codeBadOptions, err.Error())
		}
		w.user = s.users[w.name]
		behind, r := c.verify(w, l, free)
		if r != nil {
			return r
		}
		if err == nil {
			err = w.addBehind(behind)
		}
	}
	if err != nil {
		return refusef(codeBadOptions, err.Error())
	}
	fixed := s.options(c.l)
	if w.user != nil || header != "" || fixed != nil {
		return w.addOptions(header, fixed)
	}
	return nil
}

// addBehind adds the options that stood behind a password.
func (w *who) addBehind(text string) error {
	if text == "" {
		return nil
	}
	more, err := w.user.style.parse(text, "_")
	if err != nil {
		return err
	}
	if !w.opt.and(&more) {
		return optionErr("the options of user name and password contradict each other")
	}
	return nil
}

// addOptions joins the options of the user name with those of the header, the
// listener and what the user is bound to.
func (w *who) addOptions(header string, fixed *Options) *refusal {
	more, err := parseOptions(header)
	if err != nil {
		return refusef(codeBadOptions, err.Error())
	}
	if !w.opt.and(&more) {
		return refusef(codeBadOptions, "the options of the user name and of Freeway-Options contradict each other")
	}
	if fixed != nil && !w.opt.and(fixed) {
		return refusef(codeOptions, "the options contradict those of this port")
	}
	if w.user != nil && !w.opt.and(&w.user.require) {
		return refusef(codeOptions, "the options contradict what is required of this user")
	}
	return nil
}

// verify checks the password and returns the options behind it. Where the client
// needs no user a name that is not configured is only a name.
func (c *client) verify(w *who, l login, free bool) (behind string, r *refusal) {
	u := w.user
	if u == nil && free {
		return "", nil
	}
	if u == nil {
		u = &user{}
	}
	now, noted, here := c.g.env.Now(), false, c.proof.user == u
	if !here {
		var wait time.Duration
		if wait, noted = c.g.guard.wait(c.ip, u.name, now); wait > 0 {
			return "", guessing(wait)
		}
	}
	behind, same := "", u.password.Equal(l.password)
	if !same && u.style == styleIPRoyal {
		behind, same = u.behindPassword(l.password)
	}
	if !same || w.user == nil || l.nopass && !u.password.IsZero() {
		c.proof = proof{}
		if wait := c.g.guard.failed(c.ip, u.name, now); wait > 0 {
			return "", guessing(wait)
		}
		return "", refusef(codeAuth, "wrong user or password")
	}
	if here && now.Sub(c.proof.at) < noteEvery {
		return behind, nil
	}
	if !noted {
		c.g.guard.proved(c.ip, u.name, now)
	}
	c.proof = proof{u, now}
	return behind, nil
}

// guessing is the refusal of an address that has to wait.
func guessing(wait time.Duration) *refusal {
	return &refusal{code: codeQuota, msg: "too many wrong logins from this address", retryAfter: wait}
}

// admit applies the limits of the user or client, then those of the target, for
// whose turn the request may have to wait.
func (x *exchange) admit(ctx context.Context) *refusal {
	now := x.c.g.env.Now()
	if u := x.user; u != nil && u.daily > 0 {
		if wait := u.quota.wait(u.daily, now); wait > 0 {
			return &refusal{code: codeQuota, msg: errQuota.Error(), retryAfter: wait}
		}
	}
	leave, share, r := x.limit(now)
	if r != nil {
		return r
	}
	if share != nil {
		leave = x.pacedBy(ctx, share, leave)
	}
	x.leave = leave
	rule := ruleOf(x.s.rules, x.want.Target.Host)
	if rule == nil {
		return nil
	}
	done, r := rule.enter(x.waiter(ctx), time.Now().Add(x.s.cfg.Timeouts.Total/2))
	if r == nil {
		x.leave = func() { done(); leave() }
	}
	return r
}

// waiter watches the client while the request waits for its turn.
func (x *exchange) waiter(ctx context.Context) waiter {
	return func() (context.Context, func()) {
		ctx, cancel := context.WithCancel(ctx)
		unwatch := x.c.watch(cancel, !x.http)
		return ctx, func() { unwatch(); cancel() }
	}
}

// limit applies the limits of the user, or those of any client.
func (x *exchange) limit(now time.Time) (leave func(), share *bandwidth, r *refusal) {
	u, each := x.user, x.s.cfg.PerClient
	switch {
	case u != nil && u.limits != nil:
		return u.limits.leave, u.limits.bytes, u.limits.enter(now, "user")
	case each == ClientLimits{}:
		return func() {}, nil, nil
	}
	k := clientKey{net: network(x.c.ip)}
	if u != nil {
		k = clientKey{user: u.name}
	}
	return x.c.g.perClient.enter(k, each, now)
}

// contains reports whether one of the ranges holds a.
func contains(list []netip.Prefix, a netip.Addr) bool {
	for _, p := range list {
		if p.Contains(a) {
			return true
		}
	}
	return false
}
