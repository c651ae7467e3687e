package gateway

import (
	"net/netip"
	"sync"
	"time"
)

const (
	guessBurst = 10              // wrong logins of one address before it has to wait
	guessEvery = 6 * time.Second // one more is allowed after this
	guessKept  = 8192            // addresses remembered

	knownBurst = 1000                   // the same for a user who is known at the address
	knownEvery = 200 * time.Millisecond // five in a second
	knownTime  = time.Hour              // after the last right login a user is not known there any more
	knownKept  = 8192                   // users at addresses remembered
	noteEvery  = time.Minute            // right logins are noted no more often
)

// guard slows the guessing of passwords down, by address. A user who has lately
// logged in from an address is known there, and does not wait because others guess
// there: else one guesser, or one program with an old password, would lock out all
// who share its address. Known users have an allowance of their own: who guesses
// from the same address looks just like the user, so what lets the one in at any
// time lets the other try at any time. It is wide enough that a few wrong logins a second
// harm nobody, and far below what the gateway could check.
type guard struct {
	mu     sync.Mutex // protects the fields below
	recent map[netip.Prefix]guesses
	known  map[userAt]known
}

// userAt is a user at an address.
type userAt struct {
	net  netip.Prefix
	user string
}

// known is a user who has logged in.
type known struct {
	at    time.Time // when last, to the minute
	wrong guesses   // with this name, since it is known
}

// proof is who has logged in on a connection. That user does not wait there at all:
// whoever speaks knows the password. A reload, and a wrong password, end it.
type proof struct {
	user *user
	at   time.Time // when the guard was last told
}

// guesses is a bucket that wrong logins fill and time empties.
type guesses struct {
	count float64
	at    time.Time
}

// newGuard makes a guard that has seen nothing.
func newGuard() *guard {
	return &guard{recent: map[netip.Prefix]guesses{}, known: map[userAt]known{}}
}

// network is the address, or the /64 that one IPv6 user has whole.
func network(a netip.Addr) netip.Prefix {
	bits := a.BitLen()
	if a.Is6() {
		bits = 64
	}
	p, _ := a.Prefix(bits)
	return p
}

// now returns how full the bucket is at t, of which one flows off each time every has
// passed. A clock that runs backwards empties nothing.
func (b guesses) now(t time.Time, every time.Duration) float64 {
	return max(0, b.count-float64(max(0, t.Sub(b.at)))/float64(every))
}

// wait returns how long until there is room for one more below burst, 0 for now.
func (b guesses) wait(t time.Time, burst int, every time.Duration) time.Duration {
	return time.Duration(max(0, b.now(t, every)-float64(burst-1)) * float64(every))
}

// wait returns how long logins of the user from the address are refused, 0 for not.
// user is "" for one that there is not. noted says that proved need not be told.
func (g *guard) wait(a netip.Addr, user string, now time.Time) (wait time.Duration, noted bool) {
	p := network(a)
	g.mu.Lock()
	defer g.mu.Unlock()
	k, ok := g.knows(userAt{p, user}, now)
	all := func() time.Duration { return g.recent[p].wait(now, guessBurst, guessEvery) }
	if !ok {
		return all(), false
	}
	if wait = k.wrong.wait(now, knownBurst, knownEvery); wait > 0 {
		wait = max(wait, all())
	}
	return wait, now.Sub(k.at) < noteEvery
}

// knows returns what is remembered of a user who has lately logged in there. g.mu is held.
func (g *guard) knows(at userAt, now time.Time) (known, bool) {
	k, ok := g.known[at]
	return k, ok && now.Sub(k.at) < knownTime
}

// proved notes that the user has logged in from the address.
func (g *guard) proved(a netip.Addr, user string, now time.Time) {
	at := userAt{network(a), user}
	g.mu.Lock()
	defer g.mu.Unlock()
	k, ok := g.knows(at, now)
	if !ok && len(g.known) >= knownKept {
		forgetOne(g.known, func(k known) time.Time { return k.at })
	}
	k.at = now
	g.known[at] = k
}

// forgetOne makes room: of a few the oldest goes.
func forgetOne[K comparable, V any](m map[K]V, at func(V) time.Time) {
	var victim K
	var oldest time.Time
	tried := 0
	for k, v := range m { // maps are walked in random order
		if t := at(v); tried == 0 || t.Before(oldest) {
			victim, oldest = k, t
		}
		if tried++; tried == 32 {
			break
		}
	}
	delete(m, victim)
}

// failed counts one wrong login of the user from the address. It returns how long
// the address had to wait already, 0 for not: a wrong login is answered alike
// whether the user is known there or not.
func (g *guard) failed(a netip.Addr, user string, now time.Time) time.Duration {
	p := network(a)
	at := userAt{p, user}
	g.mu.Lock()
	defer g.mu.Unlock()
	if k, ok := g.knows(at, now); ok {
		k.wrong = guesses{k.wrong.now(now, knownEvery) + 1, now}
		g.known[at] = k
	}
	b, ok := g.recent[p]
	if wait := b.wait(now, guessBurst, guessEvery); wait > 0 {
		return wait
	}
	if !ok && len(g.recent) >= guessKept {
		forgetOne(g.recent, func(b guesses) time.Time { return b.at })
	}
	g.recent[p] = guesses{b.now(now, guessEvery) + 1, now}
	return 0
}
