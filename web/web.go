// Package web is the dashboard: pages rendered by the server, refreshed in
// parts by htmx and told by server-sent events when to, with charts by uPlot.
// Everything is embedded; nothing is loaded from other hosts and no inline
// script or style is used. Like api it reads the pool and the scraper.
package web

import (
	"context"
	"embed"
	"html/template"
	"io/fs"
	"net/http"
	"path"
	"strings"
	"time"

	"freeway/internal/access"
	"freeway/pool"
	"freeway/proxy"
	"freeway/scraper"
)

//go:embed templates static
var files embed.FS

// Setting is one key of the configuration as the page shows it, secrets masked.
type Setting struct {
	Path, Value, From, About string
}

// ReloadResult is what became of the latest reload. The zero value: there was none.
type ReloadResult struct {
	At  time.Time
	Err string // "" when it went well
}

// Env is what the pages show and call. Pool is needed; what else is nil is
// left out. The functions may be called from any goroutine.
type Env struct {
	Version   string
	Gateway   string // where the gateway listens, host:port
	Demo      bool   // it runs over the lab
	Login     bool   // a token is asked for, so there is something to log out of
	Pool      *pool.Pool
	Scraper   *scraper.Scraper
	Pools     func() []string             // labels that the gateway draws from, in order
	Settings  func() []Setting            // the configuration in force
	Reload    func(context.Context) error // reads it again
	Reloaded  func() ReloadResult
	Concerns  func() []string                                     // what needs attention, besides what the pages find out themselves
	AddSource func(ctx context.Context, src scraper.Source) error // keeps a new source
	Now       func() time.Time                                    // nil: time.Now
}

// Dashboard is the dashboard. Its handler is safe for concurrent use.
type Dashboard struct {
	env     Env
	pages   *template.Template
	mux     *http.ServeMux
	history *history
}

// Open prepares the pages. The error is that of a broken template, which a
// test would have found.
func Open(env Env) (*Dashboard, error) {
	if env.Now == nil {
		env.Now = time.Now
	}
	d := &Dashboard{env: env, mux: http.NewServeMux(), history: newHistory()}
	var err error
	if d.pages, err = template.New("").Funcs(d.functions()).ParseFS(files, "templates/*.html"); err != nil {
		return nil, err
	}
	static, err := fs.Sub(files, "static")
	if err != nil {
		return nil, err
	}
	d.mux.Handle("GET /static/", http.StripPrefix("/static/", onlyFiles(http.FileServerFS(static))))
	d.routes()
	return d, nil
}

// Handler serves the pages, their parts below /ui/ and their files below
// /static/. Everything else is not found. Who may do what is for the caller to
// decide: GET only looks.
func (d *Dashboard) Handler() http.Handler { return d.mux }

// Run samples the numbers of the charts until ctx ends.
func (d *Dashboard) Run(ctx context.Context) error {
	tick := time.NewTicker(firstInterval)
	defer tick.Stop()
	d.restore()
	defer d.save()
	saved := d.env.Now()
	for {
		d.sample()
		if now := d.env.Now(); now.Sub(saved) >= noteEvery {
			d.save()
			saved = now
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// routes names every page and every part.
func (d *Dashboard) routes() {
	d.page("/{$}", "overview.html", "Overview", d.overview)
	d.page("/proxies", "proxies.html", "Proxies", d.proxies)
	d.page("/sources", "sources.html", "Sources", d.sources)
	d.page("/requests", "requests.html", "Requests", d.requests)
	d.page("/use", "use.html", "Use it", d.use)
	d.page("/config", "config.html", "Configuration", d.config)
	d.mux.HandleFunc("GET /login", d.login)
	d.part("GET /ui/overview", "overview-live", d.overview)
	d.part("GET /ui/proxies", "proxy-list", d.proxies)
	d.part("GET /ui/proxies/more", "proxy-rows", d.proxies)
	d.part("GET /ui/proxies/{id}", "proxy-detail", d.proxy)
	d.part("GET /ui/sources", "source-rows", d.sources)
	d.part("GET /ui/requests", "request-rows", d.requests)
	d.part("GET /ui/use", "use-lines", d.use)
	d.mux.HandleFunc("GET /ui/history.json", d.historyJSON)
	d.part("POST /ui/proxies/{id}/check", "note", d.checkNow)
	d.part("POST /ui/proxies/{id}/rest", "note", d.rest)
	d.part("POST /ui/proxies/{id}/ban", "note", d.ban)
	d.part("POST /ui/sources/{name}/run", "note", d.runSource)
	d.part("POST /ui/sources/{name}/enable", "note", d.enableSource)
	d.part("POST /ui/sources/test", "source-test", d.testSource)
	d.part("POST /ui/sources/add", "note", d.addSource)
	d.part("POST /ui/reload", "note", d.reload)
}

// frame is what every page has around its own data.
type frame struct {
	Title, Path string
	Role        string // of who looks, "" as long as nobody logged in; what that may not do is not shown
	Env         Env
	Data        any
}

// maker makes the data of a page or a part. An error is shown to people.
type maker func(r *http.Request) (any, error)

// page serves a whole page.
func (d *Dashboard) page(pattern, name, title string, data maker) {
	d.mux.HandleFunc("GET "+pattern, func(w http.ResponseWriter, r *http.Request) {
		v, err := data(r)
		if err != nil {
			d.show(w, http.StatusUnprocessableEntity, "problem.html", frame{title, r.URL.Path, role(r), d.env, err.Error()})
			return
		}
		d.show(w, http.StatusOK, name, frame{title, r.URL.Path, role(r), d.env, v})
	})
}

// role is the role of who asks.
func role(r *http.Request) string { return access.From(r.Context()).Role.String() }

// part serves a piece of a page, for htmx.
func (d *Dashboard) part(pattern, name string, data maker) {
	d.mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
		r.Body = http.MaxBytesReader(w, r.Body, 64<<10)
		v, err := data(r)
		if err != nil {
			d.show(w, http.StatusOK, "note", note{Text: err.Error(), Bad: true}) // swapped in like any other
			return
		}
		d.show(w, http.StatusOK, name, v)
	})
}

// note is a line that says what became of something.
type note struct {
	Text string
	Bad  bool
}

// show renders a template.
func (d *Dashboard) show(w http.ResponseWriter, status int, name string, v any) {
	var b strings.Builder
	if err := d.pages.ExecuteTemplate(&b, name, v); err != nil {
		http.Error(w, "this page is broken: "+err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	w.Write([]byte(b.String())) //nolint:errcheck // the client went away
}

// login serves the page whose form package access answers.
func (d *Dashboard) login(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	d.show(w, http.StatusOK, "login.html", struct{ Wrong, Wait bool }{query.Has("wrong"), query.Has("wait")})
}

// onlyFiles keeps directory listings away.
func onlyFiles(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "" || strings.HasSuffix(r.URL.Path, "/") || path.Ext(r.URL.Path) == "" {
			http.NotFound(w, r)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// pools are those that the gateway draws from; nil: the default.
func (d *Dashboard) pools() []string {
	if d.env.Pools == nil {
		return nil
	}
	return d.env.Pools()
}

// usable counts what the gateway would draw from now.
func (d *Dashboard) usable() int { return d.env.Pool.Eligible(proxy.Want{Pools: d.pools()}) }
