package api

import (
	"net/http"
	"net/http/pprof"
	"strings"

	"github.com/go-chi/chi/v5"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"freeway/internal/access"
)

// health adds what supervisors and monitoring ask for.
func (a *API) health(mux *chi.Mux) {
	mux.Get("/livez", livez)
	mux.Head("/livez", livez)
	mux.Get("/readyz", a.readyz)
	mux.Head("/readyz", a.readyz)
	if a.env.Gatherer != nil {
		mux.Handle("/metrics", promhttp.HandlerFor(a.env.Gatherer, promhttp.HandlerOpts{EnableOpenMetrics: true}))
	}
	if !a.pprof {
		return
	}
	only := mux.With(adminOnly)
	only.HandleFunc("/debug/pprof/", pprof.Index)
	only.HandleFunc("/debug/pprof/cmdline", forbiddenCmdline)
	only.HandleFunc("/debug/pprof/profile", pprof.Profile)
	only.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
	only.HandleFunc("/debug/pprof/trace", pprof.Trace)
	only.HandleFunc("/debug/pprof/{name}", pprof.Index)
}

// adminOnly keeps handlers from lesser roles.
func adminOnly(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if access.From(r.Context()).Role < access.Admin {
			deny(w, r, access.TooFew)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// forbiddenCmdline keeps the arguments to itself: flags may hold secrets.
func forbiddenCmdline(w http.ResponseWriter, r *http.Request) { notFound(w, r) }

// livez says that the process serves; it depends on nothing.
func livez(w http.ResponseWriter, _ *http.Request) { plain(w, http.StatusOK, "ok\n") }

// Part is one line of /readyz?verbose.
type Part struct {
	Name string // one word
	OK   bool
	Says string // how it is
	Info bool   // it does not decide whether traffic should come
}

// readyz says whether traffic should come, and the reasons when not;
// ?verbose lists the parts.
func (a *API) readyz(w http.ResponseWriter, r *http.Request) {
	ok, reasons := true, []string(nil)
	if a.env.Ready != nil {
		ok, reasons = a.env.Ready()
	}
	var b strings.Builder
	if r.URL.Query().Has("verbose") && a.env.Parts != nil {
		for _, p := range a.env.Parts() {
			b.WriteString(p.line())
		}
	}
	if ok {
		plain(w, http.StatusOK, b.String()+"ok\n")
		return
	}
	plain(w, http.StatusServiceUnavailable, b.String()+"not ready: "+strings.Join(reasons, "; ")+"\n")
}

// line is the part in the manner of Kubernetes: [+] good, [-] not, [ ] for the
// reader's information.
func (p Part) line() string {
	mark := "[-]"
	switch {
	case p.OK:
		mark = "[+]"
	case p.Info:
		mark = "[ ]"
	}
	return mark + p.Name + ": " + strings.Join(strings.Fields(p.Says), " ") + "\n"
}

func plain(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(status)
	w.Write([]byte(text)) //nolint:errcheck // the client went away
}
