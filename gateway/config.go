package gateway

import (
	"net/netip"
	"slices"
	"time"

	"freeway/proxy"
)

// Config is the `gateway:` section of the configuration. Zero values mean the
// defaults of DefaultConfig unless a field says otherwise.
type Config struct {
	Listen               string         `yaml:"listen"`                // host:port for everything; default 127.0.0.1:8080
	Listeners            []Listener     `yaml:"listeners"`             // more ports with fixed choices; default none
	TLS                  TLS            `yaml:"tls"`                   // the same inside TLS; default none
	Users                []User         `yaml:"users"`                 // who may come in; none: nobody needs a user
	AllowClients         []netip.Prefix `yaml:"allow_clients"`         // ranges whose clients need no user; default none
	Rotation             string         `yaml:"rotation"`              // adaptive, round-robin, random, least-used or fastest; the Picker obeys it
	Pools                []string       `yaml:"pools"`                 // labels in order of preference; default public
	Retry                Retry          `yaml:"retry"`                 // failover
	PerClient            ClientLimits   `yaml:"per_client"`            // limits of every user, or address where nobody logs in, without limits of its own; default none
	Hedge                Hedge          `yaml:"hedge"`                 // a second tunnel set-up beside a slow one
	Timeouts             Timeouts       `yaml:"timeouts"`              // deadlines
	Session              Session        `yaml:"session"`               // sessions
	Tunnel               Tunnel         `yaml:"tunnel"`                // tunnels
	Ban                  Ban            `yaml:"ban"`                   // what counts as a ban
	Targets              []TargetRule   `yaml:"targets"`               // rules for single targets; default none
	DenyPorts            []uint16       `yaml:"deny_ports"`            // never tunnelled to; nil: 25, 465, 587, 2525; empty: none
	PlainHTTP            string         `yaml:"plain_http"`            // allow or refuse: nothing unencrypted through public upstreams, and a tunnel there is closed unless its client speaks TLS first; default allow
	PlaintextCredentials string         `yaml:"plaintext_credentials"` // refuse or allow Authorization in plain HTTP through public upstreams; default refuse
	ExposeUpstream       bool           `yaml:"expose_upstream"`       // add Freeway-Upstream, -Exit, -Country and -Attempts to answers
	MaxConnections       int            `yaml:"max_connections"`       // of clients; 0: as the file limit allows
	Drain                time.Duration  `yaml:"drain"`                 // how long running requests may take at the end; default 20s
	DrainDelay           time.Duration  `yaml:"drain_delay"`           // how long everything goes on at the end after /readyz has turned to 503; default 0: 1s where the admin API can be reached by others, else not at all
}

// Listener is one more port with fixed choices.
type Listener struct {
	Listen  string `yaml:"listen"`  // host:port
	Options string `yaml:"options"` // as in a user name, without the name: country-us-session-a1
}

// User is somebody who may come in.
type User struct {
	Name         string        `yaml:"name"`          // without options; the longest configured name wins
	Password     *proxy.Secret `yaml:"password"`      // may be empty, but not left out without PasswordFile
	PasswordFile string        `yaml:"password_file"` // read in place of Password; one line
	Rate         float64       `yaml:"rate"`          // requests per second; 0: no limit
	Burst        int           `yaml:"burst"`         // of Rate; 0: one second's worth, at least 1
	Concurrency  int           `yaml:"concurrency"`   // requests and tunnels at a time; 0: no limit
	Bandwidth    proxy.Size    `yaml:"bandwidth"`     // payload bytes per second, both ways together, shared by the requests and tunnels that run; at least 1KiB, 0: no limit
	DailyBytes   proxy.Size    `yaml:"daily_bytes"`   // payload both ways in a day (UTC), after which requests are refused and transfers cut; 0: no limit
	Require      string        `yaml:"require"`       // filters that hold for every request: country-us
	Style        string        `yaml:"style"`         // how options are spelled: freeway (default), dataimpulse, iproyal or webshare
}

// ClientLimits bound what one client may do. The zero value has no limits.
type ClientLimits struct {
	Rate        float64    `yaml:"rate"`        // requests per second; 0: no limit
	Burst       int        `yaml:"burst"`       // of Rate; 0: one second's worth, at least 1
	Concurrency int        `yaml:"concurrency"` // requests and tunnels at a time; 0: no limit
	Bandwidth   proxy.Size `yaml:"bandwidth"`   // payload bytes per second, both ways together; at least 1KiB, 0: no limit
}

// Retry bounds failover.
type Retry struct {
	Attempts   int        `yaml:"attempts"`    // upstreams tried for one request, 1 to 16; default 4
	Methods    []string   `yaml:"methods"`     // may be sent again once bytes went out; nil: GET, HEAD, OPTIONS
	OnStatus   []int      `yaml:"on_status"`   // answers of the target after which one more exit is tried; default none
	BodyBuffer proxy.Size `yaml:"body_buffer"` // largest request body that is held for another attempt; default 256KiB
}

// Hedge is a second set-up of a tunnel, on another exit, beside a slow one. The zero value means the default.
type Hedge struct {
	Enabled  bool          `yaml:"enabled"`   // unless a client says hedge-on or hedge-off
	MinDelay time.Duration `yaml:"min_delay"` // never sooner than this, nor than 95 % of set-ups take; default 300ms
	Budget   float64       `yaml:"budget"`    // hedges per request over the last minute, 0 to 1; one a minute is always allowed unless 0; default 0.2
	Metered  []string      `yaml:"metered"`   // pools whose uses cost money: never hedged, rarely checked; nil: paid
}

// Timeouts are the deadlines of one request.
type Timeouts struct {
	Connect   time.Duration `yaml:"connect"`    // TCP to the upstream; default 3s
	Handshake time.Duration `yaml:"handshake"`  // TLS to it, then CONNECT or SOCKS; default 5s
	FirstByte time.Duration `yaml:"first_byte"` // from the request to the head of the answer; default 10s
	Total     time.Duration `yaml:"total"`      // over all attempts until the answer begins; default 30s
	Idle      time.Duration `yaml:"idle"`       // silence in a tunnel, in an answer's body (of known length: a minute at most) or between requests, after which it is cut; default 5m
	Warmup    time.Duration `yaml:"warmup"`     // how long requests wait after the start for the first upstream; default 0: not at all
}

// Session is about sessions.
type Session struct {
	TTL time.Duration `yaml:"ttl"` // of sessions whose client names none; default 10m
}

// Tunnel is about tunnels.
type Tunnel struct {
	MaxAge time.Duration `yaml:"max_age"` // tunnels are cut at this age; 0: never
}

// Ban says which plain answers mean that the target refuses the exit.
type Ban struct {
	Status []int    `yaml:"status"` // nil: 403, 429, 503; empty: none
	Body   []string `yaml:"body"`   // regular expressions (RE2, any case) looked for at the beginning of text answers in plain HTTP; default none
}

// TargetRule is a rule for one domain and everything below it; of several the
// longest domain wins. A request that is over Rate or Concurrency waits for its
// turn, up to half of Timeouts.Total, else it is refused with 503 overload.
type TargetRule struct {
	Domain      string        `yaml:"domain"`       // example.com, or an IP address; names below it are meant too
	Rate        float64       `yaml:"rate"`         // requests per second, evenly spaced; 0: no limit
	Concurrency int           `yaml:"concurrency"`  // requests and tunnels at a time; 0: no limit
	MinInterval time.Duration `yaml:"min_interval"` // how long an exit rests between two uses for the domain; 0: not at all
	Retry       Retry         `yaml:"retry"`        // what is given replaces that of Config.Retry
}

// Values of PlainHTTP and PlaintextCredentials.
const (
	allow  = "allow"
	refuse = "refuse"
)

// DefaultConfig returns what holds when nothing is configured.
func DefaultConfig() Config {
	return Config{
		Listen: "127.0.0.1:8080", Rotation: "adaptive", Pools: []string{proxy.PublicPool},
		Retry: Retry{Attempts: 4, Methods: []string{"GET", "HEAD", "OPTIONS"}, BodyBuffer: 256 << 10},
		Hedge: Hedge{Enabled: true, MinDelay: 300 * time.Millisecond, Budget: 0.2, Metered: []string{"paid"}},
		Timeouts: Timeouts{Connect: 3 * time.Second, Handshake: 5 * time.Second, FirstByte: 10 * time.Second,
			Total: 30 * time.Second, Idle: 5 * time.Minute},
		Session: Session{TTL: 10 * time.Minute}, Ban: Ban{Status: []int{403, 429, 503}},
		DenyPorts: []uint16{25, 465, 587, 2525}, PlainHTTP: allow, PlaintextCredentials: refuse, Drain: 20 * time.Second,
	}
}

// withDefaults fills the fields whose zero value means the default.
func (c Config) withDefaults() Config {
	d := DefaultConfig()
	or(&c.Listen, d.Listen)
	or(&c.Rotation, d.Rotation)
	or(&c.Retry.Attempts, d.Retry.Attempts)
	or(&c.Retry.BodyBuffer, d.Retry.BodyBuffer)
	or(&c.Timeouts.Connect, d.Timeouts.Connect)
	or(&c.Timeouts.Handshake, d.Timeouts.Handshake)
	or(&c.Timeouts.FirstByte, d.Timeouts.FirstByte)
	or(&c.Timeouts.Total, d.Timeouts.Total)
	or(&c.Timeouts.Idle, d.Timeouts.Idle)
	or(&c.Session.TTL, d.Session.TTL)
	or(&c.PlainHTTP, d.PlainHTTP)
	or(&c.PlaintextCredentials, d.PlaintextCredentials)
	or(&c.Drain, d.Drain)
	if !c.Hedge.Enabled && c.Hedge.MinDelay == 0 && c.Hedge.Budget == 0 && c.Hedge.Metered == nil {
		c.Hedge = d.Hedge
	}
	or(&c.Hedge.MinDelay, d.Hedge.MinDelay)
	orSlice(&c.Hedge.Metered, d.Hedge.Metered)
	orSlice(&c.Pools, d.Pools)
	orSlice(&c.Retry.Methods, d.Retry.Methods)
	orSlice(&c.Ban.Status, d.Ban.Status)
	orSlice(&c.DenyPorts, d.DenyPorts)
	if len(c.Pools) == 0 {
		c.Pools = slices.Clone(d.Pools)
	}
	return c
}

// or sets v to def where v is the zero value.
func or[T comparable](v *T, def T) {
	var zero T
	if *v == zero {
		*v = def
	}
}

// orSlice is or for slices: nil means the default, empty means empty.
func orSlice[T any](v *[]T, def []T) {
	if *v == nil {
		*v = def
	}
}
