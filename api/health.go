package api

import (
	"net/http"
	"net/http/pprof"
	"strings"

	"github.com/go-chi/chi/v5"
	"github.com/prometheus/client_golang/prometheus/promhttp"
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
	mux.HandleFunc("/debug/pprof/", pprof.Index)
	mux.HandleFunc("/debug/pprof/cmdline", forbiddenCmdline)
	mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
	mux.HandleFunc("/debug/pprof/{name}", pprof.Index)
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
