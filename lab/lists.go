package lab

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"strings"

	"freeway/proxy"
)

// lists are the texts that the lists serve, by path.
type lists map[string]listing

// listing is one list and the tag that changes with it.
type listing struct{ text, etag string }

// listPaths are the lists in the order of ListURLs.
func listPaths() []string {
	return []string{"/lists/http.txt", "/lists/https.txt", "/lists/socks4.txt", "/lists/socks5.txt", "/lists/all.txt", "/lists/unknown.txt"}
}

// unknownPart is which part of the upstreams is in the list that names no protocols: every fourth.
const unknownPart = 4

// ListURLs returns the addresses of the lists: http, https, socks4, socks5 (host:port each line), then all of them
// as protocol://host:port, and last every fourth of them as host:port without a word about protocols.
func (l *Lab) ListURLs() []string {
	var out []string
	for _, p := range listPaths() {
		out = append(out, "http://"+l.admin.String()+p)
	}
	return out
}

// TruthURL returns the address of the ground truth in JSON.
func (l *Lab) TruthURL() string { return "http://" + l.admin.String() + "/truth.json" }

// adminHandler serves lists, ground truth and the CA.
func (l *Lab) adminHandler() http.Handler {
	mux := http.NewServeMux()
	for _, p := range listPaths() {
		mux.HandleFunc("GET "+p, func(w http.ResponseWriter, r *http.Request) { l.listing(p).serve(w, r) })
	}
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, l.index()) })
	mux.HandleFunc("GET /truth.json", func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, l.Truth()) })
	mux.HandleFunc("GET /hits.json", func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, l.Hits()) })
	mux.HandleFunc("GET /ca.pem", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/x-pem-file")
		w.Write(l.CAPEM())
	})
	return mux
}

// index says what there is, for people.
func (l *Lab) index() string {
	var b strings.Builder
	fmt.Fprintf(&b, "lists\n  %s\n", strings.Join(l.ListURLs(), "\n  "))
	fmt.Fprintf(&b, "ground truth\n  %s\n", l.TruthURL())
	fmt.Fprintf(&b, "CA of targets, judges and https upstreams\n  http://%s/ca.pem\n", l.admin)
	fmt.Fprintf(&b, "targets\n  %s\n  %s\n", l.HTTPTarget(), l.HTTPSTarget())
	fmt.Fprintf(&b, "targets by names that only upstreams know\n  %s\n  %s\n", l.HTTPName(), l.HTTPSName())
	fmt.Fprintf(&b, "what the targets counted\n  http://%s/hits.json\n", l.admin)
	fmt.Fprintf(&b, "judges\n  %s\n  %s\n", l.JudgeHTTP(), l.JudgeHTTPS())
	return b.String()
}

// serve answers conditional requests with 304.
func (g listing) serve(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("ETag", g.etag)
	if match := r.Header.Get("If-None-Match"); match == "*" || strings.Contains(match, g.etag) {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Write([]byte(g.text))
}

// listing returns a list as it is now.
func (l *Lab) listing(path string) listing {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.lists == nil {
		l.lists = l.makeLists()
	}
	return (*l.lists)[path]
}

// makeLists writes all lists; l.mu is held.
func (l *Lab) makeLists() *lists {
	text := map[string]*strings.Builder{}
	for _, p := range listPaths() {
		text[p] = &strings.Builder{}
	}
	for i, n := range l.all {
		text["/lists/"+n.Protocol.String()+".txt"].WriteString(n.ep.Address() + "\n")
		text["/lists/all.txt"].WriteString(proxy.Endpoint{Protocol: n.Protocol, Host: n.ep.Host, Port: n.ep.Port}.String() + "\n")
		if i%unknownPart == 0 {
			text["/lists/unknown.txt"].WriteString(n.ep.Address() + "\n")
		}
	}
	out := lists{}
	for p, b := range text {
		sum := sha256.Sum256([]byte(b.String()))
		out[p] = listing{b.String(), `"` + hex.EncodeToString(sum[:12]) + `"`}
	}
	return &out
}
