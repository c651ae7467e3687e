package lab

import (
	"net/http"
	"strings"

	"freeway/internal/judge"
)

// judgeHandler is both kinds of judges: Freeway's own format, signed with the
// lab's key, and at /get that of httpbin.
func (l *Lab) judgeHandler() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/", judge.Handler(judge.Options{Key: l.key, RemoteAddr: seenAddr}))
	mux.HandleFunc("/get", serveHTTPBin)
	return mux
}

// serveHTTPBin answers as httpbin's /get?show_env=1 does: no header is hidden.
func serveHTTPBin(w http.ResponseWriter, r *http.Request) {
	headers, args := map[string]string{"Host": r.Host}, map[string]string{}
	for name, values := range r.Header {
		headers[name] = strings.Join(values, ",")
	}
	for name, values := range r.URL.Query() {
		args[name] = strings.Join(values, ",")
	}
	scheme := "http://"
	if r.TLS != nil {
		scheme = "https://"
	}
	writeJSON(w, map[string]any{
		"args": args, "headers": headers, "origin": seenAddr(r).String(), "url": scheme + r.Host + r.RequestURI,
	})
}
