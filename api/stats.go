package api

import (
	"context"
	"time"

	"freeway/pool"
	"freeway/proxy"
)

// Stats are the numbers of the pool, and what the checker says of itself.
type Stats struct {
	Total       int            `json:"total"`
	States      map[string]int `json:"states"`
	Exits       int            `json:"exits" doc:"Different exits of the live ones."`
	Protocols   map[string]int `json:"protocols" doc:"Of the live ones."`
	Countries   map[string]int `json:"countries" doc:"Of the live ones; the empty name is unknown."`
	Pools       map[string]int `json:"pools" doc:"Of the live ones."`
	Due         int            `json:"due" doc:"Addresses that wait for a check."`
	Checking    int            `json:"checking" doc:"Addresses being checked."`
	Sessions    int            `json:"sessions"`
	LastMinute  Rates          `json:"last_minute"`
	Calibration []Decile       `json:"calibration" doc:"Of the uses that were given a score, how many worked; and of the checks of live ones."`
	Checker     any            `json:"checker,omitempty"`
	Version     string         `json:"version"`
}

// Decile compares predicted with observed: of the uses whose score was in
// [Low, High), the share OK / Uses worked, and Predicted is what the scores said.
// Checks are those of live proxies that came when they were due by the clock.
type Decile struct {
	Low             float64 `json:"low"`
	High            float64 `json:"high"`
	Uses            int     `json:"uses"`
	OK              int     `json:"ok"`
	Predicted       float64 `json:"predicted" doc:"Mean score of the uses; 0 when there are none."`
	Checks          int     `json:"checks" doc:"Checks of live proxies that came when due."`
	Passed          int     `json:"passed"`
	PredictedChecks float64 `json:"predicted_checks" doc:"Mean score of the checks; 0 when there are none."`
}

// Rates count what happened within the last minute.
type Rates struct {
	Checks   int `json:"checks"`
	Passed   int `json:"passed"`
	Picks    int `json:"picks" doc:"Attempts that got an upstream."`
	Misses   int `json:"misses" doc:"Times when there was none."`
	Requests int `json:"requests"`
	Answered int `json:"answered" doc:"Requests that got an answer of their target."`
}

func (a *API) stats(context.Context, *struct{}) (*struct{ Body Stats }, error) {
	s := a.env.Pool.Stats()
	out := Stats{
		Total:  s.Total,
		States: map[string]int{"new": s.New, "live": s.Live, "resting": s.Resting, "dead": s.Dead, "unsafe": s.Unsafe},
		Exits:  s.Exits, Protocols: map[string]int{}, Countries: countsOf(s.Countries), Pools: countsOf(s.Pools),
		Due: s.Due, Checking: s.Claimed, Sessions: s.Sessions, LastMinute: Rates(s.LastMinute), Calibration: []Decile{}, Version: a.env.Version,
	}
	for _, c := range s.Calibration {
		out.Calibration = append(out.Calibration, Decile(c))
	}
	for p, n := range s.Protocols {
		out.Protocols[p.String()] = n
	}
	if a.env.Checker != nil {
		out.Checker = a.env.Checker()
	}
	return &struct{ Body Stats }{out}, nil
}

func countsOf(m map[string]int) map[string]int {
	if m == nil {
		return map[string]int{}
	}
	return m
}

// Request is one request through the gateway whose answer has begun. It never holds paths or queries.
type Request struct {
	ID       string     `json:"id" doc:"Also in the client's answer."`
	At       *time.Time `json:"at"`
	Client   string     `json:"client"`
	User     string     `json:"user"`
	Tag      string     `json:"tag"`
	Session  string     `json:"session"`
	Method   string     `json:"method"`
	Target   string     `json:"target" doc:"host:port"`
	Status   int        `json:"status" doc:"What the client was answered: HTTP status or SOCKS reply."`
	Code     string     `json:"code" doc:"Freeway-Error; empty when the target's answer was passed on."`
	Up       int64      `json:"up" doc:"Bytes from the client."`
	Down     int64      `json:"down" doc:"Bytes to the client."`
	TookMS   int64      `json:"took_ms"`
	Running  bool       `json:"running" doc:"It has not ended: took_ms is the time until now, up and down those of a tunnel until now (of another request 0), and the last attempt is the one in use."`
	Attempts []Attempt  `json:"attempts"`
}

// Attempt is one upstream that a request was tried on.
type Attempt struct {
	Proxy   string `json:"proxy" doc:"The url of the proxy."`
	ID      string `json:"id" doc:"The id of the proxy."`
	Exit    string `json:"exit"`
	Country string `json:"country"`
	Why     string `json:"why" doc:"Why this one was chosen."`
	Stage   string `json:"stage"`
	Class   string `json:"class" doc:"ok, or what went wrong."`
	Status  int    `json:"status"`
	TookMS  int64  `json:"took_ms"`
}

// Requests are the latest, newest first: by their end, or their beginning while they run.
type Requests struct {
	Items []Request `json:"items"`
}

type requestsInput struct {
	Limit   int  `query:"limit" default:"50" minimum:"1" maximum:"1000"`
	Running bool `query:"running" doc:"Only those that have not ended, such as open tunnels."`
}

func (a *API) requests(_ context.Context, in *requestsInput) (*struct{ Body Requests }, error) {
	out := Requests{Items: []Request{}}
	latest := a.env.Pool.Requests
	if in.Running {
		latest = a.env.Pool.Running
	}
	for _, t := range latest(in.Limit) {
		out.Items = append(out.Items, request(t))
	}
	return &struct{ Body Requests }{out}, nil
}

func request(t proxy.Trace) Request {
	r := Request{ID: t.ID, At: stamp(t.At), Client: addr(t.Client), User: t.User, Tag: t.Tag, Session: t.Session, Method: t.Method, Target: target(t.Target),
		Status: t.Status, Code: t.Code, Up: t.Up, Down: t.Down, TookMS: t.Took.Milliseconds(), Running: t.Running, Attempts: []Attempt{}}
	for _, at := range t.Attempts {
		r.Attempts = append(r.Attempts, Attempt{Proxy: at.Endpoint.String(), ID: at.Endpoint.ID(), Exit: addr(at.Exit), Country: at.Country, Why: at.Why,
			Stage: at.Stage.String(), Class: at.Class.String(), Status: at.Status, TookMS: at.Took.Milliseconds()})
	}
	return r
}

// Session is a client's hold on an exit.
type Session struct {
	ID      string     `json:"id" doc:"Opaque."`
	User    string     `json:"user"`
	Session string     `json:"session" doc:"As the client chose it."`
	Proxy   string     `json:"proxy"`
	Exit    string     `json:"exit"`
	Since   *time.Time `json:"since"`
	Until   *time.Time `json:"until"`
	Uses    int        `json:"uses"`
}

// SessionList is every session that has not ended.
type SessionList struct {
	Items []Session `json:"items"`
}

func (a *API) sessions(context.Context, *struct{}) (*struct{ Body SessionList }, error) {
	out := SessionList{Items: []Session{}}
	for _, s := range a.env.Pool.Sessions() {
		out.Items = append(out.Items, Session{ID: s.ID, User: s.User, Session: s.Session, Proxy: s.Endpoint.String(), Exit: addr(s.Exit),
			Since: stamp(s.Since), Until: stamp(s.Until), Uses: s.Uses})
	}
	return &struct{ Body SessionList }{out}, nil
}

func (a *API) dropSession(_ context.Context, in *idInput) (*struct{}, error) {
	if !a.env.Pool.DropSession(in.ID) {
		return nil, problem(notKnownAs("session", in.ID))
	}
	return nil, nil
}

// Target is what is remembered of a registrable domain.
type Target struct {
	Domain     string     `json:"domain"`
	Down       bool       `json:"down" doc:"Several proxies agree that a host of it does not answer."`
	DownAt     []string   `json:"down_at" doc:"The host:port that do not answer."`
	Throttling bool       `json:"throttling" doc:"Several exits got the same refusal."`
	Until      *time.Time `json:"until" doc:"Of down or throttling."`
	Banned     []Ban      `json:"banned"`
}

// Ban is an exit that a target refuses, or through which it was not reached.
type Ban struct {
	Exit  string     `json:"exit"`
	Until *time.Time `json:"until"`
	Count int        `json:"count" doc:"In a row."`
	Why   string     `json:"why" enum:"banned,failed" doc:"banned: the target refuses it, or a client said so; failed: it did not deliver there, and is used only when there is no other."`
}

// TargetList is every domain that something is remembered of.
type TargetList struct {
	Items []Target `json:"items"`
}

func (a *API) targets(context.Context, *struct{}) (*struct{ Body TargetList }, error) {
	out := TargetList{Items: []Target{}}
	for _, t := range a.env.Pool.Targets() {
		out.Items = append(out.Items, targetOf(t))
	}
	return &struct{ Body TargetList }{out}, nil
}

func targetOf(t pool.TargetInfo) Target {
	out := Target{Domain: t.Domain, Down: t.Down, DownAt: orEmpty(t.DownAt), Throttling: t.Throttling, Until: stamp(t.Until), Banned: []Ban{}}
	for _, b := range t.Banned {
		why := "banned"
		if b.Failed {
			why = "failed"
		}
		out.Banned = append(out.Banned, Ban{Exit: addr(b.Exit), Until: stamp(b.Until), Count: b.Count, Why: why})
	}
	return out
}

type domainInput struct {
	Domain string `path:"domain" maxLength:"300" doc:"The registrable domain, as the list has it, or a host of it." example:"example.com"`
}

// forgive takes the registrable domain, under which targets are remembered, or
// a host of it, with or without a port.
func (a *API) forgive(_ context.Context, in *domainInput) (*struct{}, error) {
	domain := in.Domain
	if t, err := proxy.ParseTarget(in.Domain, 443); err == nil {
		domain = t.Domain
	}
	if !a.env.Pool.Forgive(domain) {
		return nil, problem(notKnownAs("target", in.Domain))
	}
	return nil, nil
}
