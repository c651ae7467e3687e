package main

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"freeway/api"
	"freeway/checker"
	"freeway/config"
	"freeway/dial"
	"freeway/gateway"
	"freeway/internal/access"
	"freeway/internal/geo"
	"freeway/internal/logs"
	tracing "freeway/internal/trace"
	"freeway/pool"
	"freeway/proxy"
	"freeway/scraper"
	"freeway/store"
	"freeway/web"
)

// serverOptions is what serve and demo bring besides a configuration.
type serverOptions struct {
	log     *slog.Logger
	level   *slog.LevelVar                                         // of log, follows log.level on reload
	logs    *logs.Log                                              // where log goes; nil: elsewhere
	control func(network, address string, c syscall.RawConn) error // has the last word on every connection; nil: the policy alone
	load    func() (config.Config, error)                          // reads the configuration again; nil: no reload
	from    config.LoadOptions                                     // where the configuration came from
	watch   string                                                 // the file to watch; "": none
	since   string                                                 // its fingerprint before it was loaded
	secrets *heldSecrets                                           // what load puts in place; nil: there are none
	demo    bool
	manager manager    // who runs the server as a service
	sockets *inherited // listening sockets that came from there

	direct func(ctx context.Context, network, addr string) (net.Conn, error) // how judges are reached without a proxy; nil: as usual
	place  func(exit netip.Addr) (country string, asn uint32, org string)    // nil: the table of places
}

// server is the whole of Freeway, wired: the only place where its parts meet.
type server struct {
	opt      serverOptions
	began    time.Time
	log      *slog.Logger
	registry *prometheus.Registry
	metrics  *serverMetrics
	policy   proxy.AddrPolicy
	roots    *x509.CertPool

	store   *store.Store // nil: memory only
	geo     geo.Live
	places  *placesMark     // what geo was opened from; protected by mu once the server runs
	audit   *auditLog       // nil: none
	tracer  *tracing.Tracer // nil: nothing is traced
	pool    *pool.Pool
	dialer  *dial.Dialer
	scraper *scraper.Scraper
	checker *checker.Checker
	gateway *gateway.Gateway
	admin   *door                   // the one of doors that leads to the admin API
	doors   map[string]*door        // by doorsOf
	crowd   *crowd                  // of the clients of all doors
	api     atomic.Pointer[api.API] // replaced when a reload changes how it is guarded
	tokens  []access.Token          // of api; protected by mu once the server runs
	logins  *access.Sessions
	hub     *api.Hub // what the pool tells, for those who watch
	alerts  *alertBook
	web     *web.Dashboard
	last    atomic.Pointer[web.ReloadResult] // of reload; nil: there was none

	fresh    fresh                            // certificates
	own      atomic.Pointer[[]netip.AddrPort] // our listeners, which no upstream may be
	stopping atomic.Bool
	hurried  chan struct{} // closed by hurry
	hurry    func()        // makes the stop go on at once; may be called at any time, from anywhere

	mu     sync.Mutex // protects what follows; held during a reload
	cfg    config.Config
	hasten float64 // how many times as fast checks go, because of alerts
}

// openServer builds everything and binds the listeners. With an error nothing
// is left open.
func openServer(ctx context.Context, cfg config.Config, opt serverOptions) (*server, error) {
	s := &server{opt: opt, began: time.Now(), log: opt.log, cfg: cfg, logins: access.NewSessions(nil), hub: api.NewHub(time.Now()), policy: proxy.NewAddrPolicy(cfg.Network.AllowUpstreams...)}
	s.registry, s.metrics = newRegistry()
	s.openAlerts()
	s.watchBudget(s.registry)
	s.crowd = newCrowd(s.budgetOf(s.cfg).Admin)
	s.prepareDoors()
	s.prepareHurry()
	s.metrics.inForce(0)
	s.watchLeaks()
	for _, step := range []func(context.Context) error{s.openFiles, s.openPool, s.openDialer, s.openScraper, s.openChecker, s.openCerts, s.openGateway, s.openAPI, s.openDoors} {
		if err := step(ctx); err != nil {
			return nil, errors.Join(err, s.abandon(ctx))
		}
	}
	return s, nil
}

// abandon closes what is open before anything runs.
func (s *server) abandon(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	cancel()
	if s.gateway != nil && s.gateway.Addr() != nil {
		s.gateway.Run(ctx) //nolint:errcheck // nobody is connected: it closes its listeners
	}
	return s.close()
}

// openFiles opens what is on disk, apart from the store.
func (s *server) openFiles(context.Context) (err error) {
	s.observeLogs()
	if err := s.openTracer(); err != nil {
		return err
	}
	if err := s.applyPlaces(s.cfg); err != nil {
		return err
	}
	if path := s.cfg.Audit.Path; path != "" {
		if s.audit, err = openAudit(path, s.log); err != nil {
			return err
		}
	}
	s.roots, err = trusted(s.cfg.Checker.JudgeCA)
	return err
}

// trusted returns the system's authorities and those in the file, nil for the
// system's alone.
func trusted(file string) (*x509.CertPool, error) {
	if file == "" {
		return nil, nil
	}
	pem, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("judge_ca: %w", err)
	}
	roots, err := x509.SystemCertPool()
	if err != nil {
		roots = x509.NewCertPool() // a system without authorities
	}
	if !roots.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("judge_ca: %s holds no certificate", file)
	}
	return roots, nil
}

// openPool opens the store and loads the pool from it.
func (s *server) openPool(ctx context.Context) error {
	opt := storeOptions(s.cfg.Store)
	opt.Log = s.log
	st, err := store.Open(s.cfg.Store.Path, opt)
	if err != nil {
		return err
	}
	s.store = st
	measureStore(s.registry, st, s.cfg.Store.Path)
	env := pool.Env{Store: st, Policy: s.policy, Log: s.log, Metrics: s.registry, Events: s.hub.Publish, Geo: s.geo.Lookup, Running: s.requests}
	if s.opt.place != nil {
		env.Geo = s.opt.place
	}
	s.pool, err = pool.Open(ctx, poolConfig(s.fitted(s.cfg)), env)
	return err
}

// requests tells the pool of the gateway's requests that run. The gateway comes later.
func (s *server) requests(n int, want func(*proxy.Trace) bool) []proxy.Trace {
	if s.gateway == nil {
		return nil
	}
	return s.gateway.Running(n, want)
}

// poolConfig collects what other sections say about the pool.
func poolConfig(cfg config.Config) pool.Config {
	return pool.Config{Rotation: cfg.Gateway.Rotation, SessionTTL: cfg.Gateway.Session.TTL, Filter: cfg.Filter, Recheck: cfg.Checker.Recheck, Metered: cfg.Gateway.Hedge.Metered}
}

// openDialer makes the only way to upstreams, for checker and gateway alike.
func (s *server) openDialer(context.Context) error {
	t := s.cfg.Gateway.Timeouts
	s.dialer = dial.New(dial.Config{Connect: t.Connect, Handshake: t.Handshake},
		dial.Env{Policy: s.policy, Forbid: s.isOwn, Control: s.opt.control, Roots: s.roots})
	return nil
}

// loops reports whether a request to the gateway is a check of our own.
func (s *server) loops(request string) bool { return s.checker != nil && s.checker.Loops(request) }

// isOwn reports whether an address is one of our listeners: an upstream there
// would be a loop.
func (s *server) isOwn(ap netip.AddrPort) bool {
	own := s.own.Load()
	if own == nil {
		return false
	}
	addr := ap.Addr().Unmap()
	for _, l := range *own {
		if l.Port() == ap.Port() && (l.Addr() == addr || l.Addr().IsUnspecified() && isLocal(addr)) {
			return true
		}
	}
	return false
}

// isLocal reports whether an address is one of this machine's.
func isLocal(a netip.Addr) bool {
	if a.IsLoopback() {
		return true
	}
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		return true // to be on the safe side
	}
	for _, x := range addrs {
		if n, ok := x.(*net.IPNet); ok {
			if ip, ok := netip.AddrFromSlice(n.IP); ok && ip.Unmap() == a {
				return true
			}
		}
	}
	return false
}

// openScraper gives the pool to the scraper as sink and notebook.
func (s *server) openScraper(context.Context) (err error) {
	s.scraper, err = scraper.Open(s.fitted(s.cfg).Scraper, s.cfg.Sources, scraper.Env{Sink: s.pool, Notebook: s.pool, Policy: s.policy, Log: s.log,
		Metrics: s.registry, Control: s.opt.control, Via: s.throughPool, UserAgent: userAgent(), Ended: s.ranSource})
	return err
}

// ranSource tells those who watch that a run of a source has ended.
func (s *server) ranSource(r scraper.Result, err error) {
	e := pool.Event{Kind: "job", At: time.Now(), Job: "run", Source: r.Name}
	s.traceRun(r, e.At, err)
	if err != nil {
		e.Err = err.Error()
	}
	s.hub.Publish(e)
}

// openChecker gives the pool to the checker as queue.
func (s *server) openChecker(context.Context) (err error) {
	s.checker, err = checker.Open(s.fitted(s.cfg).Checker, checker.Env{Queue: s.checks(), Dialer: s.dialer, Direct: s.opt.direct, Control: s.opt.control, Log: s.log,
		Metrics: s.registry, Roots: s.roots})
	return err
}

// openGateway binds its listeners, too.
func (s *server) openGateway(context.Context) (err error) {
	var named func(string) string
	if s.tracer != nil {
		named = s.tracer.Sampled
	}
	s.gateway, err = gateway.Open(s.fitted(s.cfg).Gateway, gateway.Env{Picker: s.pool, Done: s.done, Dialer: s.dialer,
		Targets: proxy.NewAddrPolicy(s.cfg.Network.AllowTargets...), Self: s.isOwn, Loops: s.loops, Log: s.log, Metrics: s.registry, Listen: s.listen, Certs: s.fresh.gateway, TraceID: named})
	if err != nil {
		return err
	}
	s.recallUsage()
	return s.gateway.Listen()
}

// makeAPI builds the admin API that a configuration asks for.
func (s *server) makeAPI(cfg config.Config, tokens []access.Token) (*api.API, error) {
	if s.web == nil {
		if err := s.openDashboard(); err != nil {
			return nil, err
		}
	}
	env := api.Env{Pool: s.pool, Scraper: s.scraper, Policy: s.policy, Dashboard: s.web.Handler(), Ready: s.ready, Parts: s.parts, Explain: s.explain,
		Pools: func() []string { return s.current().Gateway.Pools }, Config: func() any { return config.Dump(s.current()) },
		Checker: func() any { return s.checker.Status() }, Gatherer: s.registry, Log: s.log, Version: versionText(), Compat: cfg.Compat, Sessions: s.logins, Hub: s.hub, Backup: s.backup, CheckStore: s.checkStore, Alerts: s.alerts, Panicked: s.metrics.adminPanics.Inc}
	if s.opt.load != nil {
		env.Reload = func(context.Context) (api.ReloadReport, error) { return s.reloadAndTell() }
	}
	return api.Open(cfg.Admin, tokens, env)
}

// openAPI makes the admin API.
func (s *server) openAPI(context.Context) (err error) {
	if s.tokens, err = s.cfg.Admin.AccessTokens(); err != nil {
		return err
	}
	a, err := s.makeAPI(s.cfg, s.tokens)
	if err != nil {
		return err
	}
	s.api.Store(a)
	return nil
}

// noteOwn remembers where we listen.
func (s *server) noteOwn() {
	var own []netip.AddrPort
	all := s.gateway.Addrs()
	for _, d := range s.doors {
		if a := d.Addr(); a != nil {
			all = append(all, a)
		}
	}
	for _, a := range all {
		if ap, err := netip.ParseAddrPort(a.String()); err == nil {
			own = append(own, netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port()))
		}
	}
	s.own.Store(&own)
}

// current returns the configuration in force.
func (s *server) current() config.Config {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.cfg
}

// run serves until ctx ends and then stops in order: not ready, no more
// scraping and checking, the gateway drains, the admin API ends, the pool is
// saved. The caller closes the store with close.
func (s *server) run(ctx context.Context) error {
	work := []part{{"scraper", s.scraper.Run}, {"checker", s.checker.Run}}
	if s.opt.load != nil {
		work = append(work, part{"reload", s.reloadOnSignal}, part{"watch", s.reloadOnChange})
	}
	work = append(work, part{"dashboard", s.web.Run}, part{"alerts", s.alerts.Run}, part{"certificates", s.fresh.gateway.Run})
	keep := []part{{"traces", s.tracer.Run}, {"pool", s.pool.Run}, {"manager", s.keepTelling}, {"signals", s.hurryAtSecondSignal}, {"logs", s.reopenOnSignal}}
	return runStages(ctx, s.announceStop, work, []part{{"gateway", s.gateway.Run}}, []part{{"admin", s.serveDoors}, {"usage", s.keepUsage}}, keep)
}

// close releases files and listeners that are still open. It is the last call.
func (s *server) close() error {
	var errs []error
	errs = append(errs, s.closeDoors())
	errs = append(errs, s.audit.close())
	if s.store != nil {
		errs = append(errs, s.store.Close())
	}
	return errors.Join(append(errs, s.opt.sockets.close(), s.geo.Close())...)
}
