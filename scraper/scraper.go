package scraper

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"log/slog"
	"maps"
	"math/rand/v2"
	"net"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/robfig/cron/v3"

	"freeway/proxy"
)

// Sink takes what was found. Its methods may be called from any goroutine.
type Sink interface {
	// Add takes the whole set of endpoints that source names now; it replaces
	// the set of the call before. It keeps found.
	Add(ctx context.Context, source string, found []proxy.Candidate) (proxy.Yield, error)
	// Retire forgets what source names: nobody reads it any more, or it is a
	// file that was emptied. What it named is not to be erased: whether an
	// endpoint stays is settled by its checks and by the other lists.
	Retire(ctx context.Context, source string) error
	// Worth says what became of what source gave.
	Worth(source string) proxy.Worth
}

// Notebook remembers small documents across restarts.
type Notebook interface {
	Recall(key string) []byte // nil: nothing noted
	Note(key string, doc []byte)
}

// Env is what a Scraper needs besides its configuration. Zero fields are usable.
type Env struct {
	Sink      Sink             // nil: what is found goes nowhere
	Notebook  Notebook         // nil: remembered in memory only
	Policy    proxy.AddrPolicy // for entries of lists and for redirects
	Log       *slog.Logger     // nil: silent
	Metrics   prometheus.Registerer
	Control   func(network, address string, c syscall.RawConn) error            // asked before each connection with the final address; nil: nothing more than Policy
	Via       func(ctx context.Context, network, addr string) (net.Conn, error) // a tunnel through Freeway's own pool, for sources with via: pool; names are not resolved here. nil: such sources fail
	Ended     func(Result, error)                                               // told of every run that ends, with what went wrong; nil: nobody
	UserAgent string                                                            // "": "freeway/dev (+proxy list reader)"; a source's headers can name another
	Now       func() time.Time                                                  // nil: time.Now
	Jitter    func(max time.Duration) time.Duration                             // a random time in [0, max); nil: math/rand
}

// ErrUnknown is in the error of a name that no source has.
var ErrUnknown = errors.New("no such source")

// Scraper reads the sources when they are due. Its methods may be called from
// any goroutine.
type Scraper struct {
	env     Env
	web     *web
	metrics *metrics
	parse   func(io.Reader, ParseOptions) iter.Seq2[proxy.Candidate, error] // Parse; tests make it fail
	wake    chan struct{}                                                   // holds a token when the plan has changed

	applying sync.Mutex // held while definitions are replaced

	mu      sync.Mutex // protects the fields below and those of the states that say so
	cfg     Config
	sources Sources
	added   []Source // by Add
	dir     string   // what the folder looked like when it was read last
	states  map[string]*state
	given   map[string]bool          // sources of which the Sink holds a set
	leaving map[string]chan struct{} // the turns of sources whose set is to be withdrawn
	slots   chan struct{}            // a token per request under way
	running bool
	clock   time.Time // when the plan was looked at last, to notice that the clock was set back
}

// state is one source and what is going on with it.
type state struct {
	src   Source
	rank  int           // place among the definitions; of two mirrors the first is the original
	err   error         // why it cannot be read at all
	spec  string        // the schedule: its own, or the general one
	sched cron.Schedule // spec, parsed
	own   bool          // spec is its own
	turn  chan struct{} // holds the token of the one run that may be under way

	// Protected by Scraper.mu.
	on      bool
	next    time.Time
	rest    time.Time // not read on its schedule before; zero: no rest
	breaker *breaker
	memo    memo
}

// Open checks the configuration and reads nothing but Sources.Dir yet.
func Open(cfg Config, sources Sources, env Env) (*Scraper, error) {
	if err := errors.Join(cfg.Validate(), sources.Validate()); err != nil {
		return nil, err
	}
	env = env.withDefaults()
	s := &Scraper{env: env, parse: Parse, wake: make(chan struct{}, 1),
		states: map[string]*state{}, given: recallGiven(env.Notebook), added: recallAdded(env.Notebook), leaving: map[string]chan struct{}{}}
	s.web = newWeb(env, s.now)
	var err error
	if s.metrics, err = newMetrics(env.Metrics, s); err != nil {
		return nil, fmt.Errorf("register metrics: %w", err)
	}
	s.install(cfg, sources)
	return s, nil
}

// withDefaults fills zero fields.
func (e Env) withDefaults() Env {
	if e.Sink == nil {
		e.Sink = bin{}
	}
	if e.Notebook == nil {
		e.Notebook = blank{}
	}
	if e.Log == nil {
		e.Log = slog.New(slog.DiscardHandler)
	}
	if e.Now == nil {
		e.Now = time.Now
	}
	if e.Jitter == nil {
		e.Jitter = func(limit time.Duration) time.Duration { return time.Duration(rand.Int64N(max(1, int64(limit)))) }
	}
	return e
}

// now is the wall clock, so that a paused machine or a clock that is set does
// not leave sources waiting.
func (s *Scraper) now() time.Time { return s.env.Now().Round(0) }

// Apply replaces the configuration of a running scraper. On an error nothing
// changes. Sources that stay keep what is remembered of them.
func (s *Scraper) Apply(cfg Config, sources Sources) error {
	if err := errors.Join(cfg.Validate(), sources.Validate()); err != nil {
		return err
	}
	s.applying.Lock()
	defer s.applying.Unlock()
	s.install(cfg, sources)
	s.withdraw(context.Background())
	s.poke()
	return nil
}

// poke makes Run look at the plan.
func (s *Scraper) poke() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// install puts a checked configuration in place.
func (s *Scraper) install(cfg Config, sources Sources) {
	cfg = cfg.withDefaults()
	look, found := readDir(sources.Dir)
	s.mu.Lock()
	defer s.mu.Unlock()
	defs := withAdded(assemble(sources, found), s.added)
	if s.slots == nil || cap(s.slots) != cfg.Concurrency {
		s.slots = make(chan struct{}, cfg.Concurrency) // requests under way give back to the old one
	}
	s.cfg, s.sources, s.dir = cfg, sources, look
	old := s.states
	s.states = make(map[string]*state, len(defs))
	now := s.now()
	for i, d := range defs {
		st := s.newState(d, i)
		if was := old[d.Name]; was != nil {
			st.inherit(was)
			if st.spec != was.spec && !st.next.IsZero() {
				st.next = s.plan(st, now)
			}
		} else {
			st.memo = recall(s.env.Notebook, d.Name, st.memo.Print)
		}
		if on, noted := recallSwitch(s.env.Notebook, d.Name); noted {
			st.on = on
		}
		st.on = st.on && st.err == nil
		s.states[d.Name] = st
		if s.running {
			s.begin(st, now)
		}
	}
	s.dismissGone(old)
}

// newState makes the state of one definition.
func (s *Scraper) newState(d definition, rank int) *state {
	st := &state{src: d.Source, rank: rank, err: d.err, on: d.on, turn: make(chan struct{}, 1)}
	st.memo.Print = d.fingerprint()
	st.spec = d.Schedule
	if st.own = st.spec != ""; !st.own {
		st.spec = s.cfg.Schedule
	}
	sched, err := parseSchedule(st.spec)
	if err != nil && st.err == nil {
		st.err = err
	}
	st.sched = sched
	st.breaker = sourceBreaker(sched, s.now())
	return st
}

// inherit takes over what is known when the definition is replaced. A run that
// is under way keeps the turn and is not disturbed.
func (st *state) inherit(was *state) {
	st.turn, st.rest = was.turn, was.rest
	if st.memo.Print == was.memo.Print {
		st.breaker = was.breaker
		st.memo = was.memo
		st.next = was.next
	}
}

// RunNow reads one source at once, waiting for a run of it that is under way,
// and gives what it finds to the Sink. The error is also in the Result.
// Disabled sources can be run, too. Errors: ErrUnknown.
func (s *Scraper) RunNow(ctx context.Context, name string) (Result, error) {
	s.refresh(ctx)
	st := s.state(name)
	if st == nil {
		return Result{}, fmt.Errorf("%w: %q", ErrUnknown, clip(name, 64))
	}
	select {
	case st.turn <- struct{}{}:
	case <-ctx.Done():
		return s.result(st), ctx.Err()
	}
	defer s.release(ctx, st)
	defer s.idle()
	err := s.guarded(ctx, st, true)
	return s.result(st), err
}

// Fetch reads src once, without conditional requests and without telling the
// Sink, and returns what it found, also beside an error. src need not be
// configured, nor have a name.
func (s *Scraper) Fetch(ctx context.Context, src Source) (Result, error) {
	if src.Name == "" {
		src.Name = "fetch"
	}
	if err := src.Validate(); err != nil {
		return Result{}, err
	}
	defer s.idle()
	o := s.read(ctx, src, memo{}, maxSamples)
	if o.err == nil {
		o.err = tooFew(src, len(o.haul.found))
	}
	res := o.Result
	res.Name, res.URL, res.Pool, res.Enabled, res.Via = src.Name, src.Where(), src.PoolName(), src.On(), src.via()
	res.Found, res.Rejections = o.haul.found, o.haul.rejections
	if o.err != nil {
		res.Err = plain(o.err)
	}
	return res, o.err
}

// idle closes connections that nothing will use.
func (s *Scraper) idle() {
	s.mu.Lock()
	running := s.running
	s.mu.Unlock()
	if !running {
		s.web.closeIdle()
	}
}

// Lookup returns the definition of a source.
func (s *Scraper) Lookup(name string) (Source, bool) {
	if st := s.state(name); st != nil {
		return st.src, true
	}
	return Source{}, false
}

// state returns the present state of a source, nil when there is none. Apply
// replaces states, so nobody keeps one across waits without asking again.
func (s *Scraper) state(name string) *state {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.states[name]
}

// Results returns the latest result of every source, also of disabled ones, by
// name. Files that were just put into Sources.Dir are among them.
func (s *Scraper) Results() []Result {
	s.refresh(context.Background())
	s.mu.Lock()
	states := slices.SortedFunc(maps.Values(s.states), func(a, b *state) int { return strings.Compare(a.src.Name, b.src.Name) })
	s.mu.Unlock()
	out := make([]Result, 0, len(states))
	for _, st := range states {
		out = append(out, s.result(st))
	}
	return out
}

// result completes what is noted of the latest run.
func (s *Scraper) result(st *state) Result {
	s.mu.Lock()
	r := st.memo.Last
	r.Enabled, r.Failures, r.Usual, r.Mirror = st.on, st.memo.Failures, st.memo.Usual, ""
	if s.states[st.memo.Mirror] != nil {
		r.Mirror = st.memo.Mirror
	}
	r.Next, r.Breaker, r.RestsUntil = time.Time{}, st.breaker.State().String(), time.Time{}
	if st.rest.After(s.now()) {
		r.RestsUntil = st.rest
	}
	if st.on {
		r.Next = st.next
	}
	s.mu.Unlock()
	r.Name, r.URL, r.Pool, r.Via = st.src.Name, st.src.Where(), st.src.PoolName(), st.src.via()
	if st.err != nil {
		r.Err = plain(st.err)
	}
	r.Worth = s.env.Sink.Worth(st.src.Name)
	return r
}

// Enable switches a source on or off. The choice is noted and beats the
// configuration. What a source that is switched off has named is withdrawn from
// the Sink. Errors: ErrUnknown, or a definition that cannot be read.
func (s *Scraper) Enable(name string, on bool) error {
	s.refresh(context.Background())
	if err := s.enable(name, on); err != nil {
		return err
	}
	s.withdraw(context.Background())
	s.poke()
	return nil
}

// enable is Enable without what must not be done while holding mu.
func (s *Scraper) enable(name string, on bool) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	st := s.states[name]
	if st == nil {
		return fmt.Errorf("%w: %q", ErrUnknown, clip(name, 64))
	}
	if on && st.err != nil {
		return fmt.Errorf("source %s: %w", name, st.err)
	}
	noteSwitch(s.env.Notebook, name, on)
	if st.on != on {
		st.on, st.next = on, time.Time{}
	}
	if on {
		delete(s.leaving, name)
	} else {
		s.dismiss(name, st.turn)
	}
	if s.running {
		s.begin(st, s.now())
	}
	return nil
}
