package checker

import (
	"context"
	"crypto/x509"
	"errors"
	"log/slog"
	"net"
	"net/netip"
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

// Env is what is not data. Fields may be nil, except Queue for Run and Dialer.
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
	Up        bool       `json:"up"` // the latest direct request succeeded
	Kind      judge.Kind `json:"kind"`
	Error     string     `json:"error"` // why it is not up
	LastProbe time.Time  `json:"last_probe"`
}

// Status is what a Checker is doing.
type Status struct {
	Judges  []JudgeStatus `json:"judges"`
	OwnIPs  []netip.Addr  `json:"own_ips"` // configured, and as the judges see us
	Frozen  bool          `json:"frozen"`  // nothing is checked and nothing is demoted
	Reason  string        `json:"reason"`  // why frozen
	Workers int           `json:"workers"` // the configured concurrency
	Running int           `json:"running"` // checks under way
	Held    int           `json:"held"`    // failures that wait for a control
	Checked int64         `json:"checked"` // addresses judged since the start
	Void    int64         `json:"void"`    // addresses given back unjudged
}

// Checker tests proxies. All methods are safe for concurrent use; Run is called once.
type Checker struct{}

// Open checks the configuration and reads the files that it names. It dials nothing.
func Open(cfg Config, env Env) (*Checker, error) { return nil, errors.New("not yet") }

// Run checks what the queue hands out until it says io.EOF, which gives nil, or
// ctx ends, which gives nil as well and returns unfinished jobs unjudged.
func (c *Checker) Run(ctx context.Context) error { return nil }

// Apply takes another configuration over; checks under way finish with the old one.
func (c *Checker) Apply(cfg Config) error { return nil }

// Status tells what is going on.
func (c *Checker) Status() Status { return Status{} }

// Check tests one address and returns the verdict; without outcomes when nothing can be said.
func (c *Checker) Check(ctx context.Context, job proxy.Job) proxy.Verdict {
	return proxy.Verdict{Job: job}
}
