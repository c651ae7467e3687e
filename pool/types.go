package pool

import (
	"context"
	"errors"
	"iter"
	"log/slog"
	"net/netip"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"freeway/proxy"
)

// The errors that callers tell apart; those of Pick are in package proxy.
var (
	ErrNotFound = errors.New("not found")
	ErrInput    = errors.New("bad input") // a value that its caller got wrong; the rest of the message says which and why
	ErrFull     = errors.New("the pool is full")
	ErrReadOnly = errors.New("the store cannot be written") // what was asked for is not durable
)

// Store is where the pool keeps what it knows. Only the pool writes to it.
type Store interface {
	// Load returns every record once. It is read once, at the start.
	Load(ctx context.Context) iter.Seq2[proxy.Record, error]
	// Docs returns all documents by name.
	Docs(ctx context.Context) (map[string][]byte, error)
	// Save returns when the batch is durable. Deletions come before puts. What
	// it was given belongs to it.
	Save(ctx context.Context, b proxy.Batch) error
}

// Env is what a pool needs besides its configuration. Zero fields are usable.
type Env struct {
	Store   Store            // nil: memory only
	Policy  proxy.AddrPolicy // asked before an endpoint is taken
	Log     *slog.Logger     // nil: silent
	Metrics prometheus.Registerer
	Geo     func(netip.Addr) (country string, asn uint32, org string) // nil: places are unknown
	Now     func() time.Time                                          // nil: time.Now
	Events  func(Event)                                               // told what happens; called with locks held: it must return at once and not call the pool; nil: nobody
	Rand    func() uint64                                             // uniform; nil: math/rand/v2

	// Running returns the latest n wanted requests that were answered and have not
	// ended, newest first. want sees them without their attempts. One that is being recorded
	// must be among them until Record returns. nil: there are none.
	Running func(n int, want func(*proxy.Trace) bool) []proxy.Trace
}

// Query asks for a list of entries.
type Query struct {
	Filter   proxy.Filter
	Sort     string // score, latency, last_checked, last_live, first_seen, next_check, country or url; a minus turns it around; "": -score
	Limit    int    // of a page; 0: 50
	Cursor   string // the next of the page before
	Distinct string // exit_ip, asn or country: only the first of each; "": all
}

// Detail is one entry with what explains it.
type Detail struct {
	Entry   proxy.Entry
	History []proxy.Outcome // the latest, newest first; empty for entries that never lived
	Scores  []float64       // 0 to 1, right after each of History
	Why     string          // why it has its score
	Next    string          // why the next check is due when it is
	Notes   []string        // what the latest check saw
}

// Feedback is a client's word on how a proxy did. One of Proxy, RequestID, Tag
// and Session says which.
type Feedback struct {
	Proxy     string // an id or a URL
	RequestID string // the proxy of the last attempt
	Tag       string // those of the latest requests with that tag
	Session   string // as Session.ID or, when it is unique, the id that the client chose
	Target    string // host or host:port; "": that of the request
	Verdict   string // ok, failed, banned, captcha or bad_content
}

// Rates counts what happened within the last minute.
type Rates struct {
	Checks, Passed     int // verdicts on entries, and those that passed
	Picks, Misses      int // leases given, and times when there was none
	Requests, Answered int // recorded, and those that got an answer of their target
}

// Stats is the pool in numbers.
type Stats struct {
	Total, New, Live, Resting, Dead, Unsafe int
	Exits                                   int                    // different exits of the live ones
	Protocols                               map[proxy.Protocol]int // of the live ones
	Countries                               map[string]int         // of the live ones; "" is unknown
	Pools                                   map[string]int         // of the live ones
	Due, Claimed                            int                    // addresses that wait for a check, and those being checked
	Sessions                                int
	LastMinute                              Rates
	Calibration                             []Calibration // by tenths of the score, lowest first
}

// Session is a client's hold on an exit.
type Session struct {
	ID       string // opaque, for DropSession
	User     string
	Session  string // as the client chose it
	Endpoint proxy.Endpoint
	Exit     netip.Addr
	Since    time.Time
	Until    time.Time
	Uses     int
}

// TargetInfo is what is remembered of a registrable domain.
type TargetInfo struct {
	Domain     string
	Down       bool      // several proxies agree that a host of it does not answer
	DownAt     []string  // which, as host:port
	Throttling bool      // several exits got the same refusal
	Until      time.Time // of Down or Throttling
	Banned     []Ban
}

// Ban is an exit that a target refuses, or that does not reach it.
type Ban struct {
	Exit   netip.Addr
	Until  time.Time
	Count  int  // in a row
	Failed bool // it was not refused, it did not deliver; it is used all the same when there is no other
}

// Explanation says what a want would get.
type Explanation struct {
	Total  int // entries known
	Steps  []Step
	Left   int // endpoints that Pick would choose from
	Exits  int // their exits
	Panic  bool
	Chosen []proxy.Entry // a few of those, as they would be drawn; the one of Held first
	Held   *Session      // the session of the want and its exit; nil: it has none
}

// Step is one condition and how many entries it removed.
type Step struct {
	Name    string
	Removed int
	Left    int
}
