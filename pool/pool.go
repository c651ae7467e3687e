package pool

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"log/slog"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"freeway/proxy"
)

// Pool is the pool. Its methods may be called from any goroutine.
type Pool struct {
	env     Env
	log     *slog.Logger
	clock   *clock
	seed    maphash.Seed
	metrics *metrics
	rates   rates
	lead    chan struct{} // holds a token while somebody waits in Next
	wake    chan struct{} // holds a token when Next should look again

	settings   atomic.Pointer[settings] // what Pick needs of the configuration
	snap       atomic.Pointer[snapshot]
	changes    atomic.Uint64 // of what snapshots show, ever; grows with mu held
	needed     atomic.Uint64 // changes that a snapshot must show: what was able to do less then is not asked for it again
	ejections  atomic.Int64  // by traffic, ever
	round      atomic.Uint64
	unwritable atomic.Bool     // the latest write to the store failed
	version    atomic.Uint64   // grows with every change of an entry
	states     [5]atomic.Int64 // rows by state; written with mu held
	building   sync.Mutex      // held while a snapshot is made

	targets  targets
	worked   *worked
	sessions sessions
	docs     docs
	requests requests
	walks    walks
	speeds   speeds

	calibration calibration

	saving  sync.Mutex    // held while the store is written; protects saved
	tickets atomic.Uint64 // calls of save, ever
	saved   uint64        // of those, how many are on disk

	mu        sync.Mutex // protects the fields below
	cfg       Config
	rows      pages[row]
	groups    pages[group]
	lives     pages[*lived]
	names     pages[string]
	nameIDs   map[string]uint32      // of names
	byPlace   table                  // groups
	byHost    table                  // one group of each host
	byID      table                  // rows
	logins    map[uint32]credentials // by row, of the few that need one
	pools     *labels                // of rows
	sources   *sources
	farms     map[hostKey]*farm           // hosts with more than one port
	alive     []uint32                    // rows that the snapshot may show
	dirty     []uint32                    // rows that differ from the store
	awaited   map[place]struct{}          // somebody wants them checked, and is told
	drops     map[proxy.Endpoint]struct{} // endpoints that the store has and the pool has not
	tombs     map[proxy.Endpoint]int64    // Unix seconds
	fullUntil time.Time                   // makeRoom is not tried before
	news      chan struct{}               // closed when something becomes live

	hot, cold dueHeap
	fresh     int              // groups never checked that wait in their sources
	stride    float64          // of the latest turn
	turn      uint64           // how often pop was called
	sleeps    int64            // Unix milliseconds until which Next sleeps; 0: it does not
	claims    map[uint32]int64 // groups being checked, with the Unix milliseconds when the claim ends
	claimed   []claimTicket    // in the order of their ends; may hold claims that ended early
	holds     int              // calls of Hold that were not released
}

// settings is the part of the configuration that Pick reads without a lock.
type settings struct {
	rotation   string
	sessionTTL time.Duration
}

// Open checks the configuration and loads what the store has.
func Open(ctx context.Context, cfg Config, env Env) (*Pool, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	p := newPool(cfg.withDefaults(), env)
	var err error
	if p.metrics, err = newMetrics(env.Metrics, p); err != nil {
		return nil, fmt.Errorf("register metrics: %w", err)
	}
	if env.Store != nil {
		if err := p.load(ctx); err != nil {
			return nil, fmt.Errorf("load the store: %w", err)
		}
	}
	p.rebuild()
	return p, nil
}

// newPool makes an empty pool with its indexes.
func newPool(cfg Config, env Env) *Pool {
	p := &Pool{env: env, log: env.Log, clock: newClock(env.Now), seed: maphash.MakeSeed(), worked: newWorked(),
		lead: make(chan struct{}, 1), wake: make(chan struct{}, 1), news: make(chan struct{}),
		nameIDs: map[string]uint32{}, logins: map[uint32]credentials{}, pools: newLabels(), sources: newSources(), farms: map[hostKey]*farm{},
		drops: map[proxy.Endpoint]struct{}{}, tombs: map[proxy.Endpoint]int64{}, claims: map[uint32]int64{}}
	if p.log == nil {
		p.log = slog.New(slog.DiscardHandler)
	}
	p.hot.p, p.cold.p = p, p
	p.byPlace.hash = func(n uint32) uint64 { return p.hashPlace(&p.groups.at(n).place) }
	p.byHost.hash = func(n uint32) uint64 { return p.hashHost(&p.groups.at(n).place) }
	p.byID.hash = func(n uint32) uint64 { return uint64(p.rows.at(n).id) }
	p.targets.byDomain = map[string]*target{}
	p.targets.divide()
	p.sessions.byKey = map[proxy.SessionKey]*session{}
	p.docs.notes, p.docs.pending, p.docs.off = map[string][]byte{}, map[string][]byte{}, env.Store == nil
	p.install(cfg)
	return p
}

// install puts a configuration in force.
func (p *Pool) install(cfg Config) {
	cfg.Filter = cfg.Filter.upper()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cfg = cfg
	p.settings.Store(&settings{cfg.Rotation, cfg.SessionTTL})
	p.changes.Add(1)
}

// Apply replaces the configuration. On an error nothing changes.
func (p *Pool) Apply(cfg Config) error {
	if err := cfg.Validate(); err != nil {
		return err
	}
	cfg = cfg.withDefaults()
	p.mu.Lock()
	once := p.cfg.Once
	p.mu.Unlock()
	if cfg.Once != once {
		return errors.New("once: cannot be changed")
	}
	p.install(cfg)
	p.rebuild() // what the filter keeps out is not handed out any more
	return nil
}

// load reads the store. Nobody else has the pool yet.
func (p *Pool) load(ctx context.Context) error {
	now := p.clock.now()
	p.mu.Lock()
	defer p.mu.Unlock()
	all, err := p.env.Store.Docs(ctx)
	if err != nil {
		return err
	}
	for name, doc := range all {
		p.loadDoc(name, doc, now)
	}
	for rec, err := range p.env.Store.Load(ctx) {
		if err != nil {
			return err
		}
		p.restore(&rec, now)
	}
	return nil
}

// random returns a number in [0, 1).
func (p *Pool) random() float64 {
	if p.env.Rand != nil {
		return float64(p.env.Rand()>>11) / (1 << 53)
	}
	return rand.Float64()
}

// below returns a number in [0, n). n is not 0.
func (p *Pool) below(n uint64) uint64 {
	if p.env.Rand != nil {
		return p.env.Rand() % n
	}
	return rand.Uint64N(n)
}
