package checker

import (
	"context"
	"crypto/x509"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"freeway/dial"
	"freeway/internal/judge"
	"freeway/proxy"
)

// Queue is where jobs come from and verdicts go to. *pool.Pool is one.
type Queue interface {
	// Next waits for the next address that is due and claims it; io.EOF: no more will come.
	Next(ctx context.Context) (proxy.Job, error)
	// Report delivers a verdict and gives up the claim; without outcomes the job is given back unjudged.
	Report(v proxy.Verdict)
}

// Env is what is not data. Fields may be nil, except Dialer, and Queue for Run.
type Env struct {
	Queue  Queue
	Dialer *dial.Dialer // reaches the proxies; its deadlines are replaced by the configuration's
	// Direct reaches judges directly, and nothing else; nil: the network, asking Control.
	Direct  func(ctx context.Context, network, addr string) (net.Conn, error)
	Control func(network, address string, c syscall.RawConn) error
	Log     *slog.Logger
	Metrics prometheus.Registerer
	Roots   *x509.CertPool   // authorities for judges and targets; nil: the system's. Config.JudgeCA adds to them
	Now     func() time.Time // stamps outcomes; nil: time.Now
}

// JudgeStatus is what is known of one judge.
type JudgeStatus struct {
	URL       string     `json:"url"` // without its query
	Operator  string     `json:"operator"`
	Up        bool       `json:"up"`      // the latest direct request succeeded
	Breaker   string     `json:"breaker"` // closed, open, or half-open: the next direct request decides
	Kind      judge.Kind `json:"kind"`
	Error     string     `json:"error"` // why it is not up
	LastProbe time.Time  `json:"last_probe"`

	Signed      bool   `json:"signed"`       // its answers are signed with the configured key
	Canary      bool   `json:"canary"`       // content is compared by its canary pages
	CanaryError string `json:"canary_error"` // why an own judge for plain HTTP is not used so
}

// Status is what a Checker is doing.
type Status struct {
	Judges  []JudgeStatus `json:"judges"`
	OwnIPs  []netip.Addr  `json:"own_ips"` // configured, of this machine, and as the judges see us
	Frozen  bool          `json:"frozen"`  // no judge is up: nothing is checked and nothing is demoted
	Reason  string        `json:"reason"`  // why frozen
	Quorum  string        `json:"quorum"`  // whose word makes a proxy live
	Workers int           `json:"workers"` // the configured concurrency
	Running int           `json:"running"` // checks under way
	Held    int           `json:"held"`    // failures that wait until a judge has answered directly, or the sweep has shown that it counts
	Doubt   string        `json:"doubt"`   // why failures do not count at present though judges answer; "" when they do
	Checked int64         `json:"checked"` // addresses judged since the start
	Void    int64         `json:"void"`    // addresses given back unjudged
	Targets []string      `json:"targets"` // required ones that no proxy reaches any more, which does not count against proxies
}

// Checker tests proxies. All methods are safe for concurrent use; Run is called once.
type Checker struct {
	env      Env
	log      *slog.Logger
	metrics  *metrics
	settings atomic.Pointer[settings]
	own      atomic.Pointer[ownAddrs]
	hold     hold
	pulse    pulse
	sweeps   sweeps
	pacer    pacer
	tempo    tempo
	loops    loops
	maxSteps time.Duration                          // how many times the time of a step a protocol may take
	paced    func(host string) (netip.Prefix, bool) // networkOf
	scouts   func() (*dial.Scout, error)            // dial.NewScout
	running  atomic.Int64
	checked  atomic.Int64
	void     atomic.Int64
	kick     chan struct{} // tells control that there is something to look at; holds one

	mu     sync.Mutex // protects the fields below
	change chan struct{}
	frozen bool // as last logged
}

// Open checks the configuration and reads the files that it names. It dials nothing.
func Open(cfg Config, env Env) (*Checker, error) {
	if env.Dialer == nil {
		return nil, errors.New("checker: no dialer")
	}
	c := &Checker{env: env, log: env.Log, paced: networkOf, scouts: dial.NewScout, maxSteps: maxSteps, kick: make(chan struct{}, 1), change: make(chan struct{})}
	if c.log == nil {
		c.log = slog.New(slog.DiscardHandler)
	}
	s, err := prepare(cfg, env, nil)
	if err != nil {
		return nil, err
	}
	c.settings.Store(s)
	c.own.Store(localOnly().learn(s.cfg.OwnIPs, nil, s.operators()))
	c.metrics, err = newMetrics(env.Metrics, c)
	return c, err
}

// Apply takes another configuration over; checks under way finish with the old one.
func (c *Checker) Apply(cfg Config) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	s, err := prepare(cfg, c.env, c.settings.Load())
	if err != nil {
		return err
	}
	c.settings.Store(s)
	c.broadcast()
	c.wake()
	return nil
}

// Status tells what is going on.
func (c *Checker) Status() Status {
	s := c.settings.Load()
	out := Status{Judges: s.status(), OwnIPs: c.own.Load().list(), Quorum: s.quorum(), Workers: s.cfg.Concurrency, Running: int(c.running.Load()),
		Held: c.hold.len() + c.sweeps.held(), Doubt: c.sweeps.doubt(), Checked: c.checked.Load(), Void: c.void.Load(), Targets: s.unreached()}
	if out.up() == 0 {
		out.Frozen, out.Reason = true, frozenReason(out.Judges)
	}
	return out
}

// frozenReason says why there is nothing to check with.
func frozenReason(judges []JudgeStatus) string {
	for _, j := range judges {
		if j.Error != "" {
			return "no judge answers directly; " + j.URL + ": " + j.Error
		}
	}
	return "no judge has been reached yet"
}

// Check tests one address and returns the verdict; without outcomes when nothing
// can be said: no judge is up, ctx ended, or judge, network or clock failed on the way.
func (c *Checker) Check(ctx context.Context, job proxy.Job) proxy.Verdict {
	s := c.settings.Load()
	everybody := func(*examiner) bool { return true }
	if !s.ready() {
		c.round(ctx, s, everybody, time.Time{}) // those that were never asked
	}
	if !s.anyUp() {
		c.round(ctx, s, everybody, time.Now())
	}
	if !s.anyUp() {
		c.void.Add(1)
		return proxy.Verdict{Job: job, Notes: []string{downNote}}
	}
	v, d := c.spared(ctx, c.begin(job))
	if d != nil && c.settle(ctx, d) != confirmed {
		v = proxy.Verdict{Job: job, Notes: []string{voidNote}}
	}
	c.count(v)
	return v
}

const downNote = "given back: no judge is up"
const voidNote = "given back: a judge or the network did not answer directly, so the failure says nothing"

// begin makes the check of a job, which counts as running until spared has ended.
func (c *Checker) begin(job proxy.Job) *check {
	c.running.Add(1)
	return &check{c: c, s: c.settings.Load(), own: c.own.Load(), job: job, began: time.Now()}
}

// examine tests one address. The doubt, nil for none, must be settled before the verdict counts.
func (c *Checker) examine(ctx context.Context, k *check) (proxy.Verdict, *doubt) {
	nothing := proxy.Verdict{Job: k.job}
	if len(k.job.Entries) == 0 {
		return nothing, nil
	}
	k.run(ctx)
	if k.ended(ctx) {
		return nothing, nil
	}
	d := &doubt{at: time.Now()}
	for _, r := range k.all() {
		if r.passed() { // the judges and the network were in order
			return k.verdict(), nil
		}
		d.network = d.network || r.network
		d.judges = append(d.judges, r.judges...)
		d.excuses = append(d.excuses, r.excuses...)
	}
	if !d.network && len(d.judges) == 0 {
		return k.verdict(), nil
	}
	if c.pulse.missed(k.began, d.at) {
		nothing.Notes = []string{"given back: this process was paused meanwhile"}
		return nothing, nil
	}
	d.verdict = k.verdict()
	return d.verdict, d
}

// count keeps the numbers.
func (c *Checker) count(v proxy.Verdict) {
	c.metrics.count(v)
	if len(v.Outcomes) == 0 {
		c.void.Add(1)
	} else {
		c.checked.Add(1)
	}
}

// now is the time for people; whatever measures or waits uses the monotonic clock instead.
func (c *Checker) now() time.Time {
	if c.env.Now != nil {
		return c.env.Now()
	}
	return time.Now()
}

// direct reaches a judge without any proxy.
func (c *Checker) direct(ctx context.Context, network, addr string) (net.Conn, error) {
	if c.env.Direct != nil {
		return c.env.Direct(ctx, network, addr)
	}
	d := net.Dialer{Control: c.env.Control}
	return d.DialContext(ctx, network, addr)
}
