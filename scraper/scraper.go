package scraper

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"freeway/proxy"
)

// Sink takes what was found. Both methods may be called from any goroutine.
type Sink interface {
	// Add takes the whole set of endpoints that source names now; it replaces
	// the set of the call before. It keeps found.
	Add(ctx context.Context, source string, found []proxy.Candidate) (proxy.Yield, error)
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
	Control   func(network, address string, c syscall.RawConn) error // asked before each connection with the final address; nil: nothing more than Policy
	UserAgent string                                                 // nil: "freeway/dev (+proxy list reader)"
	Now       func() time.Time                                       // nil: time.Now
	Jitter    func(max time.Duration) time.Duration                  // a random time in [0, max); nil: math/rand
}

// Scraper reads the sources when they are due. Its methods may be called from
// any goroutine.
type Scraper struct {
	env Env

	mu sync.Mutex // protects the fields below
}

// Open checks the configuration and reads nothing yet.
func Open(cfg Config, sources Sources, env Env) (*Scraper, error) {
	return &Scraper{env: env}, nil
}

// Run reads every enabled source soon after the start and then when it is due,
// until ctx ends; it waits for running fetches and returns nil. It may run once
// at a time.
func (s *Scraper) Run(ctx context.Context) error {
	<-ctx.Done()
	return nil
}

// Apply replaces the configuration of a running scraper. On an error nothing changes.
func (s *Scraper) Apply(cfg Config, sources Sources) error { return nil }

// RunNow reads one source at once, waiting for a run of it that is under way,
// and gives what it finds to the Sink. The error is also in the Result.
func (s *Scraper) RunNow(ctx context.Context, name string) (Result, error) {
	return Result{}, errors.New("not yet")
}

// Fetch reads src once, without conditional requests and without telling the
// Sink, and returns what it found. src need not be configured, nor have a name.
func (s *Scraper) Fetch(ctx context.Context, src Source) (Result, error) {
	return Result{}, errors.New("not yet")
}

// Results returns the latest result of every source, also of disabled ones, by name.
func (s *Scraper) Results() []Result { return nil }

// Enable switches a source on or off. The choice is noted and beats the configuration.
func (s *Scraper) Enable(name string, on bool) error { return nil }
