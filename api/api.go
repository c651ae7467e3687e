package api

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humachi"
	"github.com/go-chi/chi/v5"
	"github.com/go-chi/chi/v5/middleware"
	"github.com/prometheus/client_golang/prometheus"

	"freeway/internal/access"
	"freeway/pool"
	"freeway/proxy"
	"freeway/scraper"
)

// Env is what the API shows and calls. Pool is needed; what else is nil is
// answered with 404 or left out. The functions may be called from any goroutine.
type Env struct {
	Pool      *pool.Pool
	Scraper   *scraper.Scraper
	Policy    proxy.AddrPolicy                            // for endpoints that clients add
	Pools     func() []string                             // labels that the gateway draws from, in order
	Dashboard http.Handler                                // answers everything outside the API; nil: 404
	Ready     func() (ok bool, reasons []string)          // whether traffic should come, and why not
	Parts     func() []Part                               // what /readyz?verbose lists; nil: nothing
	Config    func() any                                  // the effective configuration, secrets masked
	Reload    func(context.Context) (ReloadReport, error) // reads the configuration again
	Explain   func(user, url string) (any, error)         // what a request with that user name would get
	Checker   func() any                                  // what the checker is doing: judges, own addresses
	Gatherer  prometheus.Gatherer                         // for /metrics
	Log       *slog.Logger                                // nil: silent
	Version   string                                      // of the program
	Hub       *Hub                                        // what happens, for /api/events; nil: there is none
	Sessions  *access.Sessions                            // of browsers that logged in; nil: they cannot
	Compat    Compat                                      // the drop-in APIs; the zero value: below /compat/ only, without a key
	Random    func() uint64                               // nil: math/rand; only for tests

	Panicked func() // called for each handler that panicked; nil: nobody counts

	Alerts AlertSink // what POST /api/hooks/alertmanager leads to; nil: there is no such path

	// Backup makes a copy of the store, with or without the passwords of
	// upstreams, and says how many bytes it has. The caller closes it. nil: no backups.
	Backup func(ctx context.Context, passwords bool) (file io.ReadCloser, size int64, err error)

	// CheckStore reads a copy of the whole store. An error means that it could not
	// be read. nil: no checks.
	CheckStore func(context.Context) (StoreReport, error)
}

// API is the admin API. Its handler is safe for concurrent use.
type API struct {
	env     Env
	pprof   bool
	hooked  bool // the webhook is on
	began   time.Time
	hosts   access.Hosts // under which the doors' own listeners are reached
	compat  map[string]http.Handler
	handler http.Handler
	doc     func() ([]byte, error)
	backing sync.Mutex // held while a backup is made and sent
}

// maxList bounds lists of endpoints, in bytes. Other bodies have at most a MiB,
// as huma wants it.
const maxList = 32 << 20

// compressed are the content types worth a gzip. Event streams are not among
// them: compression would hold them back.
var compressed = []string{"application/json", "application/problem+json", "application/openapi+json", "application/x-ndjson", "application/yaml", "text/csv", "text/plain",
	"text/html", "text/css", "text/javascript", "text/x-python", "application/x-ns-proxy-autoconfig"}

// Open builds the handler. tokens are those to ask for, see
// Config.AccessTokens; none: nobody is asked.
func Open(cfg Config, tokens []access.Token, env Env) (*API, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if env.Log == nil {
		env.Log = slog.New(slog.DiscardHandler)
	}
	a := &API{env: env, pprof: cfg.Pprof, hooked: len(cfg.Alertmanager.Actions) > 0, hosts: access.NewHosts(cfg.Hosts), began: time.Now()}
	a.compat = a.doors(env.Compat)
	mux := chi.NewMux()
	mux.Use(a.recovered, onceEach, honest, a.durable, middleware.GetHead, middleware.Compress(5, compressed...))
	h := humachi.New(mux, humaConfig(env.Version))
	a.register(h)
	mux.Get("/api/openapi.json", a.openAPI)
	if env.Hub != nil {
		mux.Get("/api/events", a.events)
		documentEvents(h)
	}
	a.health(mux)
	a.mountDoors(mux)
	if env.Dashboard != nil {
		mux.NotFound(a.elsewhere)
	} else {
		mux.NotFound(notFound)
	}
	mux.MethodNotAllowed(methodNotAllowed)
	a.doc = func() ([]byte, error) { return json.MarshalIndent(h.OpenAPI(), "", "  ") }
	a.handler = access.Guard(access.Config{
		Tokens: tokens, Clients: cfg.TLS.access(), Hosts: cfg.Hosts, Open: []string{"/livez", "/readyz", access.LoginPath, "/static/style.css", "/static/favicon.svg"}, Deny: deny, Sessions: env.Sessions,
	}, mux)
	return a, nil
}

// Handler serves the API, behind the access checks.
func (a *API) Handler() http.Handler { return a.handler }

// Server returns a server for Handler with the limits that a listener in
// reach of strangers needs. The caller serves and shuts it down.
func (a *API) Server() *http.Server {
	srv := &http.Server{
		Handler:           a.handler,
		ReadHeaderTimeout: 10 * time.Second,
		ReadTimeout:       5 * time.Minute, // a list of maxList over a slow line
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    32 << 10,
		ErrorLog:          slog.NewLogLogger(a.env.Log.Handler(), slog.LevelDebug),
	}
	if a.env.Hub != nil {
		srv.RegisterOnShutdown(a.env.Hub.Close)
	}
	return srv
}

// OpenAPI returns the OpenAPI 3.1 document as JSON.
func (a *API) OpenAPI() ([]byte, error) { return a.doc() }

func humaConfig(version string) huma.Config {
	c := huma.DefaultConfig("Freeway", version)
	c.OpenAPI.Info.Description = "The admin API of Freeway: proxies, sources, requests and what became of them."
	c.OpenAPI.Info.License = &huma.License{Name: "Apache-2.0", Identifier: "Apache-2.0"}
	c.OpenAPI.Servers = []*huma.Server{{URL: "/"}}
	c.OpenAPI.Components.SecuritySchemes = map[string]*huma.SecurityScheme{
		"token": {Type: "http", Scheme: "bearer", Description: "The token of the configuration, if it has one."},
	}
	c.OpenAPI.Security = []map[string][]string{{"token": {}}, {}}
	c.OpenAPIPath, c.DocsPath, c.SchemasPath = "", "", ""
	c.CreateHooks = nil // no $schema links in answers
	c.RejectUnknownQueryParameters = true
	c.Formats = map[string]huma.Format{"application/json": strictJSON(), "json": strictJSON()}
	c.Transformers = append(c.Transformers, unechoed)
	textual(c.OpenAPI.Components.Schemas)
	return c
}

func (a *API) register(h huma.API) {
	a.registerProxies(h)
	a.registerSources(h)
	a.registerStatus(h)
	a.registerBackup(h)
	a.registerHooks(h)
	documentRefusals(h)
}

// documentRefusals adds the answers that every operation may give to the
// document: of the access checks, and to what means nothing.
func documentRefusals(h huma.API) {
	problem := h.OpenAPI().Components.Schemas.Schema(typeOf[huma.ErrorModel](), true, "ErrorModel")
	for _, item := range h.OpenAPI().Paths {
		for _, op := range []*huma.Operation{item.Get, item.Post, item.Patch, item.Delete} {
			if op == nil {
				continue
			}
			codes := map[string]string{"401": "A token is needed, or this one is not known.", "403": "The Host, the origin or the role of the token is refused.", "422": "Something in the request means nothing."}
			if op.RequestBody != nil {
				codes["400"], codes["413"], codes["415"] = "The body cannot be read.", "The body is too large.", "The body is of another type."
			}
			for code, text := range codes {
				if op.Responses[code] == nil {
					op.Responses[code] = &huma.Response{Description: text, Content: map[string]*huma.MediaType{"application/problem+json": {Schema: problem}}}
				}
			}
		}
	}
}

func (a *API) openAPI(w http.ResponseWriter, _ *http.Request) {
	doc, err := a.doc()
	if err != nil {
		writeProblem(w, http.StatusInternalServerError, err.Error())
		return
	}
	w.Header().Set("Content-Type", "application/openapi+json")
	w.Write(doc) //nolint:errcheck // the client went away
}

// honest keeps gzip from clients that refuse it by a weight of zero (RFC 9110
// section 12.5.3), which the compressor does not look at.
func honest(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for part := range strings.SplitSeq(r.Header.Get("Accept-Encoding"), ",") {
			name, weight, has := strings.Cut(strings.ReplaceAll(part, " ", ""), ";q=")
			if has && (name == "gzip" || name == "*") && strings.Trim(weight, "0.") == "" {
				r.Header.Del("Accept-Encoding")
			}
		}
		next.ServeHTTP(w, r)
	})
}

// onceEach refuses a parameter that is given twice: of two values one would be
// ignored without a word.
func onceEach(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if isAPI(r.URL.Path) && !strings.HasPrefix(r.URL.Path, "/compat/") {
			for name, values := range r.URL.Query() {
				if len(values) > 1 {
					writeProblem(w, http.StatusUnprocessableEntity, fmt.Sprintf("%s is given %d times; separate several values by commas", clip(name), len(values)))
					return
				}
			}
		}
		next.ServeHTTP(w, r)
	})
}

// elsewhere keeps the dashboard's paths and the API's apart: below /api
// nothing but the API answers.
func (a *API) elsewhere(w http.ResponseWriter, r *http.Request) {
	if isAPI(r.URL.Path) {
		notFound(w, r)
		return
	}
	a.env.Dashboard.ServeHTTP(w, r)
}

// recovered turns a panic of a handler into a 500 and a log line.
func (a *API) recovered(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() {
			if v := recover(); v != nil && v != http.ErrAbortHandler {
				if a.env.Panicked != nil {
					a.env.Panicked()
				}
				a.env.Log.Error("api handler panicked", "method", r.Method, "path", r.URL.Path, "panic", fmt.Sprint(v))
				writeProblem(w, http.StatusInternalServerError, "this is a defect; the log has more")
			}
		}()
		next.ServeHTTP(w, r)
	})
}
