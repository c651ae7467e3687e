package proxy

import (
	"crypto/sha256"
	"encoding/base32"
	"fmt"
	"strings"
	"time"
)

// State is where an endpoint is in its life. Bans by single targets are not states.
type State uint8

// The states. Only Live endpoints are used by choice; Unsafe ones never.
const (
	New     State = iota // never checked
	Live                 // the last full check passed, and traffic has not failed three times in a row since
	Resting              // not live, but was within RestingFor
	Dead                 // neither
	Unsafe               // tampers, intercepts, loops or sits at a forbidden address
)

// RestingFor is how long an endpoint that failed is called resting before it is dead.
const RestingFor = 24 * time.Hour

var stateNames = [...]string{"new", "live", "resting", "dead", "unsafe"}

// String returns the name.
func (s State) String() string {
	if int(s) < len(stateNames) {
		return stateNames[s]
	}
	return "state"
}

// MarshalText prints the name.
func (s State) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText reads a name in any case.
func (s *State) UnmarshalText(b []byte) error {
	for i, n := range stateNames {
		if strings.EqualFold(n, string(b)) {
			*s = State(i)
			return nil
		}
	}
	return fmt.Errorf("unknown state %q; use new, live, resting, dead or unsafe", clip(string(b)))
}

// PublicPool is the label of sources that have no other.
const PublicPool = "public"

// Candidate is what a list says of a proxy. Nothing of it is believed until checked.
type Candidate struct {
	Endpoint Endpoint
	Password Secret
	Guess    bool   // the list did not name a protocol; Endpoint.Protocol is only where to begin
	Pool     string // the source's label; "" means PublicPool
	Claims   Traits
}

// Tally counts how often something went well and how often not.
type Tally struct {
	OK     uint32 `json:"ok"`
	Failed uint32 `json:"failed"`
}

// Fault is where and how the last failure happened. The zero value is none.
type Fault struct {
	Stage Stage `json:"stage"`
	Class Class `json:"class"`
}

// Entry is what is known of one endpoint, a view made on demand. It holds the
// password for the code that dials; Secret keeps it out of everything else.
type Entry struct {
	Endpoint    Endpoint
	Password    Secret
	Guess       bool // the protocol is not settled yet
	Pool        string
	State       State
	Score       float64       // 0 to 1; see Health.Score
	Latency     time.Duration // moving average of successful uses until the first byte; 0 unknown
	Traits      Traits
	Sources     []string
	FirstSeen   time.Time
	LastChecked time.Time // zero: never
	LastLive    time.Time // zero: never
	NextCheck   time.Time
	Checks      Tally
	Uses        Tally
	Error       Fault // of the last check or use that failed, cleared by a check that passes
}

// ID returns the opaque, stable name of the endpoint in URLs: "p" and 20
// characters of the base32 SHA-256 of its canonical text.
func (e Endpoint) ID() string {
	sum := sha256.Sum256([]byte(e.String()))
	return "p" + strings.ToLower(base32.StdEncoding.EncodeToString(sum[:])[:20])
}

// Record is what the store keeps of one endpoint.
type Record struct {
	Endpoint    Endpoint
	Password    Secret
	Guess       bool
	Pool        string
	Sources     []string
	Health      Health
	Latency     time.Duration
	Traits      Traits
	FirstSeen   time.Time
	LastSeen    time.Time // when a list last named it
	LastChecked time.Time
	LastLive    time.Time
	NextCheck   time.Time
	Passed      bool   // the last full check passed
	FirstLive   bool   // the first check passed
	Misses      uint32 // checks failed in a row
	UseFails    uint32 // uses failed in a row since the last check
	Checks      Tally
	Uses        Tally
	Error       Fault
	Targets     []string // names of the per-target checks that the last full check passed
}

// Batch is one write to the store. Everything in it becomes durable together
// or not at all, unless it is larger than the store's limit for one write.
type Batch struct {
	Put  []Record
	Drop []Endpoint
	Docs map[string][]byte // documents by name; a nil value deletes
}

// Job is one address to check, with everything that lists claim to be there.
// One refused connection settles all of it.
type Job struct {
	Host    string
	Port    uint16
	Entries []Entry
}

// Verdict is what a check found: an outcome for every entry of the job, and for
// every endpoint in Found, which speaks at that address though no list said so.
// A verdict without outcomes gives the job back unjudged.
type Verdict struct {
	Job      Job
	Found    []Candidate
	Outcomes []Outcome
	Notes    []string // what was seen, for people; no secrets

	// Reached names, by endpoint, the per-target checks that passed. Endpoints
	// that are not in it passed none.
	Reached map[Endpoint][]string
}

// Yield is what became of the candidates of one list.
type Yield struct {
	New     int            `json:"new"`
	Known   int            `json:"known"`
	Refused map[string]int `json:"refused,omitempty"` // by reason
}

// Worth is what a source has given so far. It counts endpoints that are known;
// those that were refused or forgotten are not among them.
type Worth struct {
	Listed    int           `json:"listed"`     // endpoints it names at present or named last
	Live      int           `json:"live"`       // of those, live now
	EverLive  int           `json:"ever_live"`  // of those, live at any time
	Checked   int           `json:"checked"`    // of those, checked at least once
	FirstLive int           `json:"first_live"` // of those checked, live at their first check
	Exclusive int           `json:"exclusive"`  // of those listed, named by no other source now
	OnlyLive  int           `json:"only_live"`  // of those exclusive, live now: what would be lost without the source
	Latency   time.Duration `json:"latency_ns"` // median until the first byte of those live now; 0: not known
}

// Yield is the smoothed share of the checked endpoints that worked when they were
// first checked, the prior for the source's new ones: (FirstLive + 2·DefaultPrior)
// / (Checked + 2). Those that ever worked would be many times as many, for most
// of them work now and then only.
func (w Worth) Yield() float64 {
	return (float64(w.FirstLive) + 2*DefaultPrior) / (float64(w.Checked) + 2)
}
