package lab

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Limits of what targets serve and take.
const (
	maxBytes = 64 << 20
	maxDelay = 10 * time.Minute
)

// page is what /html serves: the same bytes always.
const page = `<!DOCTYPE html>
<html><head><title>A page of the lab</title></head>
<body><h1>A page of the lab</h1><p>Nothing may be added to it, nothing taken away.</p></body></html>
`

// target serves what the targets serve.
func (l *Lab) target() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/{$}", servePage)
	mux.HandleFunc("/html", servePage)
	mux.HandleFunc("/bytes/{n}", serveBytes)
	mux.HandleFunc("/ip", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		io.WriteString(w, seenAddr(r).String()+"\n")
	})
	mux.HandleFunc("/status/{code}", serveStatus)
	mux.HandleFunc("/headers", serveHeaders)
	mux.HandleFunc("/echo", l.serveEcho)
	mux.HandleFunc("/drip", l.serveDrip)
	mux.HandleFunc("/slow", l.serveSlow)
	mux.HandleFunc("/hits", func(w http.ResponseWriter, r *http.Request) { writeJSON(w, l.Hits()) })
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/hits" {
			exit, _ := exitOf(r.Context())
			l.count.request(exit)
		}
		mux.ServeHTTP(w, r)
	})
}

// writeJSON answers with v.
func writeJSON(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	json.NewEncoder(w).Encode(v) // what fails here is the connection
}

// servePage serves the page with its hash.
func servePage(w http.ResponseWriter, _ *http.Request) {
	sum := sha256.Sum256([]byte(page))
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Lab-Sha256", hex.EncodeToString(sum[:]))
	io.WriteString(w, page)
}

// serveBytes serves n deterministic bytes; ?chunked=1 without a length.
func serveBytes(w http.ResponseWriter, r *http.Request) {
	n, err := strconv.ParseInt(r.PathValue("n"), 10, 32)
	if err != nil || n < 0 || n > maxBytes {
		http.Error(w, "a number of bytes up to 67108864", http.StatusBadRequest)
		return
	}
	seed := r.URL.Query().Get("seed")
	sum := sha256.New()
	io.CopyN(sum, byteStream(seed), n)
	w.Header().Set("Lab-Sha256", hex.EncodeToString(sum.Sum(nil)))
	w.Header().Set("Content-Type", "application/octet-stream")
	if r.URL.Query().Get("chunked") == "" {
		w.Header().Set("Content-Length", strconv.FormatInt(n, 10))
	} else {
		http.NewResponseController(w).Flush()
	}
	io.CopyN(w, byteStream(seed), n)
}

// serveStatus answers any status; ?retry_after=S adds the header.
func serveStatus(w http.ResponseWriter, r *http.Request) {
	code, err := strconv.Atoi(r.PathValue("code"))
	if err != nil || code < 200 || code > 599 {
		http.Error(w, "a status from 200 to 599", http.StatusBadRequest)
		return
	}
	if s := r.URL.Query().Get("retry_after"); s != "" {
		w.Header().Set("Retry-After", s)
	}
	w.WriteHeader(code)
	if code != http.StatusNoContent && code != http.StatusNotModified {
		io.WriteString(w, strconv.Itoa(code)+" "+http.StatusText(code)+"\n")
	}
}

// serveHeaders lists the header as it was on the wire: [["Host","..."], ...].
func serveHeaders(w http.ResponseWriter, r *http.Request) {
	pairs := [][2]string{}
	for _, f := range wireFields(r) {
		pairs = append(pairs, [2]string{f.name, f.value})
	}
	writeJSON(w, pairs)
}

// serveEcho sends the body back; ?id= is counted.
func (l *Lab) serveEcho(w http.ResponseWriter, r *http.Request) {
	if id := r.URL.Query().Get("id"); id != "" {
		l.count.post(id)
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBytes))
	if err != nil {
		http.Error(w, "the body is too large or was cut", http.StatusBadRequest)
		return
	}
	sum := sha256.Sum256(body)
	w.Header().Set("Lab-Sha256", hex.EncodeToString(sum[:]))
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.Write(body)
}

// serveDrip sends ?n= bytes with ?delay= before each.
func (l *Lab) serveDrip(w http.ResponseWriter, r *http.Request) {
	n, err := strconv.Atoi(orDefault(r.URL.Query().Get("n"), "10"))
	delay, err2 := time.ParseDuration(orDefault(r.URL.Query().Get("delay"), "100ms"))
	if err != nil || err2 != nil || n < 0 || n > maxBytes || delay < 0 || delay > maxDelay {
		http.Error(w, "n is a number, delay a duration such as 100ms", http.StatusBadRequest)
		return
	}
	w.Header().Set("Content-Length", strconv.Itoa(n))
	rc := http.NewResponseController(w)
	for _, b := range Bytes(n, "drip") {
		if !l.pause(r, delay) {
			return
		}
		w.Write([]byte{b})
		rc.Flush()
	}
}

// serveSlow answers after ?delay=.
func (l *Lab) serveSlow(w http.ResponseWriter, r *http.Request) {
	delay, err := time.ParseDuration(orDefault(r.URL.Query().Get("delay"), "1s"))
	if err != nil || delay < 0 || delay > maxDelay {
		http.Error(w, "delay is a duration such as 1s", http.StatusBadRequest)
		return
	}
	if l.pause(r, delay) {
		io.WriteString(w, "at last\n")
	}
}

// pause waits; false when the client went away or the lab ends.
func (l *Lab) pause(r *http.Request, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-r.Context().Done():
	case <-l.scope.done:
	}
	return false
}

// orDefault is s, or def when s is blank.
func orDefault(s, def string) string {
	if strings.TrimSpace(s) == "" {
		return def
	}
	return s
}
