package checker

import (
	"cmp"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sony/gobreaker/v2"
	"golang.org/x/time/rate"

	"freeway/dial"
	"freeway/internal/judge"
	"freeway/proxy"
)

// How often judges are reached directly. A judge that is down is tried again soon, then ever less often.
const (
	probeUp       = 5 * time.Minute
	probeDownMin  = 5 * time.Second
	probeDownMax  = time.Minute
	confirmOwn    = 500 * time.Millisecond // at most so often, while failures wait to be confirmed
	confirmPublic = 5 * time.Second        // the same for judges of others
)

// examiner is one judge and what direct requests have shown of it.
type examiner struct {
	page
	judge   Judge
	key     []byte
	limiter *rate.Limiter // shared by the judges of one operator; see limited

	probing chan struct{} // holds one token: one direct request at a time
	doubted atomic.Bool   // the canary pages must be asked for again at the next direct request

	mu    sync.Mutex // protects the fields below
	seen  sightingOf // of the latest direct request that succeeded
	why   string     // why it is not up
	asked time.Time  // when the latest direct request began; zero: never. Monotonic
	at    time.Time  // the same for people, by Env.Now
	fails int        // direct requests in a row that failed
	rest  time.Time  // when the breaker lets the next one through, monotonic

	breaker *gobreaker.TwoStepCircuitBreaker[struct{}] // opens with a direct request that failed, closes with one that did not
}

// isAnswering reports whether the latest direct request succeeded. The caller holds mu.
func (e *examiner) isAnswering() bool {
	return !e.asked.IsZero() && e.breaker.State() == gobreaker.StateClosed
}

// errUnsaid ends a direct request that says nothing about the judge.
var errUnsaid = errors.New("nothing was found out")

// newBreaker makes the breaker of a judge: one direct request that fails is
// enough, and one that succeeds after confirmOwn at the soonest.
func newBreaker() *gobreaker.TwoStepCircuitBreaker[struct{}] {
	return gobreaker.NewTwoStepCircuitBreaker[struct{}](gobreaker.Settings{
		Timeout:     confirmOwn,
		ReadyToTrip: func(c gobreaker.Counts) bool { return c.ConsecutiveFailures > 0 },
		IsExcluded:  func(err error) bool { return errors.Is(err, errUnsaid) },
	})
}

// sightingOf is what a direct request showed.
type sightingOf struct {
	kind   judge.Kind
	signed bool       // with the key that is configured
	mac    bool       // with any key, known or not
	self   netip.Addr // we, as the judge saw us
	addr   netip.Addr // the judge's address
	base   baseline

	answers   bool      // something answers at a port that the judge keeps closed
	answersAt time.Time // when that was looked at, monotonic; zero: never

	headers   headerNames // of answers that came directly
	canary    bool        // the canary pages came as they are
	canaryWhy string      // why not
	canaryAt  time.Time   // when they were asked for, monotonic; zero: never
}

// newExaminer prepares a judge; limiter is its operator's.
func newExaminer(j Judge, limiter *rate.Limiter) (*examiner, error) {
	p, err := parsePage(j.URL)
	if err != nil {
		return nil, err
	}
	e := &examiner{page: p, judge: j, limiter: limiter, probing: make(chan struct{}, 1), breaker: newBreaker()}
	if e.key, err = j.key(); err != nil {
		return nil, err
	}
	return e, nil
}

// key is that with which the judge signs, nil for none; read now, unless it was
// read with the configuration.
func (j Judge) key() ([]byte, error) {
	text := j.Key.Reveal()
	if text == "" && j.KeyFile == "" {
		return nil, nil
	}
	if text == "" {
		b, err := os.ReadFile(j.KeyFile)
		if err != nil {
			return nil, err
		}
		text = string(b)
	}
	key := []byte(strings.TrimSpace(text))
	if len(key) < minKey {
		return nil, fmt.Errorf("%s: the key has %d bytes, at least %d are needed", cmp.Or(j.KeyFile, "key"), len(key), minKey)
	}
	return key, nil
}

// minKey is the shortest key in bytes that is worth signing with.
const minKey = 16

// isUp reports whether the latest direct request succeeded.
func (e *examiner) isUp() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.isAnswering()
}

// known returns what direct requests have shown.
func (e *examiner) known() sightingOf {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.seen
}

// limited reports whether the judge is somebody else's, to be asked sparingly.
func (e *examiner) limited() bool {
	s := e.known()
	return s.kind != judge.Own && !s.addr.IsPrivate() && !s.addr.IsLoopback()
}

// ruling says when the latest direct request began and whether the judge is up, which
// tells about every moment before that.
func (e *examiner) ruling() (asked time.Time, up bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.asked, e.isAnswering()
}

// due returns when the judge is to be asked directly; sooner when failures wait for it.
func (e *examiner) due(wanted bool) time.Time {
	limited := e.limited()
	e.mu.Lock()
	defer e.mu.Unlock()
	every := probeUp
	if e.asked.IsZero() {
		return time.Time{}
	}
	if !e.isAnswering() {
		every = min(probeDownMax, probeDownMin<<min(e.fails-1, 8))
	}
	if wanted && limited {
		every = min(every, confirmPublic)
	} else if wanted {
		every = min(every, confirmOwn)
	}
	if next := e.asked.Add(every); next.After(e.rest) {
		return next
	}
	return e.rest
}

// allowed waits until the breaker lets a direct request through; false when ctx
// ended before. done must be called with what came of it.
func (e *examiner) allowed(ctx context.Context) (done func(error), ok bool) {
	for {
		done, err := e.breaker.Allow()
		if err == nil {
			return done, true
		}
		e.mu.Lock()
		rest := time.Until(e.rest)
		e.mu.Unlock()
		t := time.NewTimer(max(rest, time.Millisecond))
		select {
		case <-t.C:
		case <-ctx.Done():
			t.Stop()
			return nil, false
		}
	}
}

// probe asks the judge directly, unless somebody else is at it or has been since
// the moment; then it waits for that.
func (c *Checker) probe(ctx context.Context, s *settings, e *examiner, since time.Time) {
	select {
	case e.probing <- struct{}{}:
		defer func() { <-e.probing }()
	case <-ctx.Done():
		return
	}
	if asked, _ := e.ruling(); asked.After(since) {
		return
	}
	done, ok := e.allowed(ctx)
	if !ok {
		return
	}
	began := time.Now()
	seen, f := c.askSpared(ctx, s, e)
	if f != nil && ctx.Err() != nil {
		done(errUnsaid)
		return
	}
	if was := e.isUp(); was && f != nil {
		c.log.Warn("judge is down", "judge", e.masked(), "why", f.Error())
	} else if !was && f == nil {
		c.log.Info("judge is up", "judge", e.masked(), "kind", seen.kind.String())
	}
	e.learned(done, began, c.now(), seen, f)
	c.noticed(s)
}

// learned keeps what a direct request showed.
func (e *examiner) learned(done func(error), began, at time.Time, seen sightingOf, f *fault) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.asked, e.at, e.why = began, at, ""
	if f == nil {
		e.seen, e.fails, e.rest = seen, 0, time.Time{}
		done(nil)
		return
	}
	e.why = f.Error()
	e.fails++
	done(f)
	e.rest = time.Now().Add(confirmOwn)
}

// askDirectly makes one direct request to a judge.
func (c *Checker) askDirectly(ctx context.Context, s *settings, e *examiner) (sightingOf, *fault) {
	ctx, cancel := context.WithTimeout(ctx, s.cfg.Timeout)
	defer cancel()
	raw, err := c.direct(ctx, "tcp", e.to.String())
	if err != nil {
		f := faultOf(ctx, proxy.StageConnect, err)
		f.why = judge.Printable(err.Error(), 200)
		return sightingOf{}, f
	}
	defer raw.Close()
	nonce := newNonce()
	q := question{page: e.page, path: e.with(nonce), canary: newNonce(), maxBody: judge.MaxAnswer}
	var seen judge.Seen
	var kind judge.Kind
	a, f := askOver(ctx, s.cfg.Timeout, raw, q, s.roots)
	if f == nil {
		seen, kind, f = weigh(a, q, nonce, 0, e.key)
	}
	if f != nil {
		if f.class == proxy.Tampered { // on the direct way nobody is accused
			f.class, f.tampers = proxy.WrongContent, ""
			if f.stage == proxy.StageTunnel {
				f.class = proxy.BadTLS
			}
		}
		return sightingOf{}, f
	}
	if kind != judge.Own && e.key != nil {
		return sightingOf{}, &fault{stage: proxy.StageVerify, class: proxy.WrongContent, why: "a key is configured and the answer is not signed"}
	}
	out := sightingOf{kind: kind, signed: seen.Signed && e.key != nil, mac: seen.Signed, self: seen.Remote, base: baselineOf(seen), headers: headerNames{}}
	out.headers.add(a.header)
	c.lookAtCanaries(ctx, s, e, &out)
	c.lookAtClosedPort(ctx, s, e, seen.Closed, &out)
	if t, ok := raw.RemoteAddr().(*net.TCPAddr); ok {
		out.addr = t.AddrPort().Addr().Unmap().WithZone("")
	}
	return out, nil
}

// lookAtCanaries gets the canary pages of an own judge for plain HTTP, unless that was
// done lately and nothing speaks against it.
func (c *Checker) lookAtCanaries(ctx context.Context, s *settings, e *examiner, out *sightingOf) {
	if out.kind != judge.Own || e.to.TLS {
		return
	}
	old := e.known()
	if !old.canaryAt.IsZero() && time.Since(old.canaryAt) < probeUp && !e.doubted.Load() {
		out.canary, out.canaryWhy, out.canaryAt = old.canary, old.canaryWhy, old.canaryAt
		maps.Copy(out.headers, old.headers)
		return
	}
	out.canaryAt = time.Now()
	c.canariesDirectly(ctx, s, e, out)
	if out.canaryWhy != "" && out.canaryWhy != old.canaryWhy {
		c.log.Warn("the judge's canary pages do not come directly as they should; proxies are not measured by them",
			"judge", e.masked(), "why", out.canaryWhy)
	}
}

// status describes the judge for people.
func (e *examiner) status() JudgeStatus {
	e.mu.Lock()
	defer e.mu.Unlock()
	return JudgeStatus{URL: e.masked(), Operator: e.operator(), Up: e.isAnswering(), Breaker: e.breaker.State().String(), Kind: e.seen.kind, Error: e.why, LastProbe: e.at,
		Signed: e.seen.signed, Canary: e.seen.canary, CanaryError: e.seen.canaryWhy}
}

// settings is one configuration made ready. It is never changed once made; the examiners change themselves.
type settings struct {
	cfg      Config
	roots    *x509.CertPool // nil: the system's
	judges   []*examiner
	targets  []target
	full     limits        // the configured time-outs
	dialer   *dial.Dialer  // that keeps to these
	connects *rate.Limiter // nil: no limit
	errands  chan struct{} // turns of errands
}

// ready reports whether checks may begin: a judge of each configured kind, by TLS
// and plain, is up, or at least one while all have been asked.
func (s *settings) ready() bool {
	var configured, up [2]bool
	for _, e := range s.judges {
		kind := 0
		if e.to.TLS {
			kind = 1
		}
		configured[kind], up[kind] = true, up[kind] || e.isUp()
	}
	return configured == up || s.asked() && (up[0] || up[1])
}

// asked reports whether every judge has been asked directly at least once.
func (s *settings) asked() bool {
	return !slices.ContainsFunc(s.judges, func(e *examiner) bool {
		asked, _ := e.ruling()
		return asked.IsZero()
	})
}

// anyUp reports whether there is a judge to check with.
func (s *settings) anyUp() bool { return slices.ContainsFunc(s.judges, (*examiner).isUp) }

// operators counts who runs the judges.
func (s *settings) operators() int {
	seen := map[string]bool{}
	for _, e := range s.judges {
		seen[e.operator()] = true
	}
	return len(seen)
}

// status describes the judges for people.
func (s *settings) status() []JudgeStatus {
	out := make([]JudgeStatus, 0, len(s.judges))
	for _, e := range s.judges {
		out = append(out, e.status())
	}
	return out
}

// pick returns up to two judges that are up, of different operators, by TLS or
// plain, best first.
func (s *settings) pick(tls bool, avoid string) []*examiner {
	up := s.ranked(tls, avoid)
	out := up[:min(len(up), 1)]
	for _, e := range up[len(out):] {
		if e.operator() != up[0].operator() {
			return append(out[:1:1], e)
		}
	}
	return out
}

// ranked returns the judges that are up, by TLS or plain. Those that may be asked
// at once come first, and not of the operator avoid.
func (s *settings) ranked(tls bool, avoid string) []*examiner {
	var up, sixth []*examiner // few proxies reach IPv6, so these are asked only when there is nobody else
	for _, e := range s.judges {
		switch {
		case e.to.TLS != tls || !e.isUp():
		case e.isIPv6():
			sixth = append(sixth, e)
		default:
			up = append(up, e)
		}
	}
	if len(up) == 0 {
		up = sixth
	}
	rand.Shuffle(len(up), func(i, j int) { up[i], up[j] = up[j], up[i] })
	slices.SortStableFunc(up, func(a, b *examiner) int { return a.cost(avoid) - b.cost(avoid) })
	return up
}

// cost orders judges: how long the queue before them is, in seconds, and whose they are.
func (e *examiner) cost(avoid string) int {
	n := 0
	if e.limited() {
		n = 2 * max(0, 1-int(e.limiter.Tokens()))
	}
	if e.operator() == avoid {
		n++
	}
	return n
}

// reserve takes a turn at the judge and returns how long it is until then.
func (e *examiner) reserve() time.Duration {
	if !e.limited() {
		return 0
	}
	return e.limiter.Reserve().Delay()
}
