// Package web is the dashboard: one page of live numbers, made of embedded
// files only. It loads nothing from other hosts and runs under a policy that
// allows no inline script. It reads the same API that everybody else reads.
package web

import (
	"bytes"
	"embed"
	"html/template"
	"io/fs"
	"net/http"
	"path"
	"strings"
	"time"
)

//go:embed templates static
var files embed.FS

// Env is what the page says that the API does not.
type Env struct {
	Version string
	Gateway string // where the gateway listens, host:port
	Demo    bool   // it runs over the lab
}

// Handler serves the page at / and its files below /static/. Everything else
// is not found. It is safe for concurrent use. The error is that of a broken
// template, which a test would have found.
func Handler(env Env) (http.Handler, error) {
	t, err := template.ParseFS(files, "templates/*.html")
	if err != nil {
		return nil, err
	}
	var page bytes.Buffer
	if err := t.ExecuteTemplate(&page, "index.html", env); err != nil {
		return nil, err
	}
	static, err := fs.Sub(files, "static")
	if err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		http.ServeContent(w, r, "index.html", time.Time{}, bytes.NewReader(page.Bytes()))
	})
	mux.HandleFunc("GET /login", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		query := r.URL.Query()
		t.ExecuteTemplate(w, "login.html", struct{ Wrong, Wait bool }{query.Has("wrong"), query.Has("wait")}) //nolint:errcheck // the client went away
	})
	mux.Handle("GET /static/", http.StripPrefix("/static/", onlyFiles(http.FileServerFS(static))))
	return mux, nil
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
