package gateway

import (
	"context"
	"encoding/base64"
	"net/netip"
	"strings"
	"sync"
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
	if w.user == nil && free {
		return "", nil
	}
	if wait := c.g.guard.wait(c.ip, c.g.env.Now()); wait > 0 {
		return "", &refusal{code: codeQuota, msg: "too many wrong logins from this address", retryAfter: wait}
	}
	u := w.user
	if u == nil {
		u = &user{}
	}
	behind, same := "", u.password.Equal(l.password)
	if !same && u.style == styleIPRoyal {
		behind, same = u.behindPassword(l.password)
	}
	if same && w.user != nil && (!l.nopass || u.password.IsZero()) {
		return behind, nil
	}
	c.g.guard.failed(c.ip, c.g.env.Now())
	return "", refusef(codeAuth, "wrong user or password")
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

const (
	guessBurst = 10              // wrong logins of one address before it has to wait
	guessEvery = 6 * time.Second // one more is allowed after this
	guessKept  = 8192            // addresses remembered
)

// guard slows the guessing of passwords down, by address.
type guard struct {
	mu     sync.Mutex // protects the field below
	recent map[netip.Prefix]guesses
}

// guesses is a bucket that wrong logins fill and time empties.
type guesses struct {
	count float64
	at    time.Time
}

// newGuard makes a guard that has seen nothing.
func newGuard() *guard { return &guard{recent: map[netip.Prefix]guesses{}} }

// network is the address, or the /64 that one IPv6 user has whole.
func network(a netip.Addr) netip.Prefix {
	bits := a.BitLen()
	if a.Is6() {
		bits = 64
	}
	p, _ := a.Prefix(bits)
	return p
}

// now returns how full the bucket is at t. A clock that runs backwards empties nothing.
func (b guesses) now(t time.Time) float64 {
	return max(0, b.count-float64(max(0, t.Sub(b.at)))/float64(guessEvery))
}

// wait returns how long logins of the address are refused, 0 for not.
func (g *guard) wait(a netip.Addr, now time.Time) time.Duration {
	g.mu.Lock()
	defer g.mu.Unlock()
	over := g.recent[network(a)].now(now) - (guessBurst - 1)
	if over <= 0 {
		return 0
	}
	return time.Duration(over * float64(guessEvery))
}

// failed counts one wrong login of the address.
func (g *guard) failed(a netip.Addr, now time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.recent) >= guessKept {
		g.prune(now)
	}
	p := network(a)
	g.recent[p] = guesses{g.recent[p].now(now) + 1, now}
}

// prune forgets addresses that are no longer slowed down, and any when all are.
func (g *guard) prune(now time.Time) {
	for p, b := range g.recent {
		if b.now(now) == 0 || len(g.recent) >= guessKept {
			delete(g.recent, p)
		}
	}
}
