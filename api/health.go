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

// readyz says whether traffic should come, and the reasons when not.
func (a *API) readyz(w http.ResponseWriter, _ *http.Request) {
	if a.env.Ready == nil {
		plain(w, http.StatusOK, "ok\n")
		return
	}
	ok, reasons := a.env.Ready()
	if ok {
		plain(w, http.StatusOK, "ok\n")
		return
	}
	plain(w, http.StatusServiceUnavailable, "not ready: "+strings.Join(reasons, "; ")+"\n")
}

func plain(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(status)
	w.Write([]byte(text)) //nolint:errcheck // the client went away
}
