package judge

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"sort"
	"strconv"
)

// Options are the choices of Handler. The zero value serves unsigned answers.
type Options struct {
	// Key is shared with the checker and signs the answers; empty: they are not signed.
	Key []byte
	// RemoteAddr returns the address a request came from; nil: that of the connection.
	// Headers are never believed here.
	RemoteAddr func(*http.Request) netip.Addr
	// Closed names ports of this host that are closed and stay so. Checkers connect
	// to one about once a minute to see that it fails. At most 16.
	Closed []uint16
}

const (
	maxBody   = 1 << 20 // how much of a request's body is read
	maxClosed = 16      // ports in Options.Closed
)

// Handler returns a judge. It answers every path with what it saw, but for those
// that end with the name of a canary, and never lets an answer be stored on the
// way. It is safe for concurrent use.
func Handler(opt Options) http.Handler {
	if opt.RemoteAddr == nil {
		opt.RemoteAddr = remoteAddr
	}
	key, closed := slices.Clone(opt.Key), slices.Clone(opt.Closed[:min(len(opt.Closed), maxClosed)])
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if c, ok := canaryAt(r.URL.Path); ok {
			c.serve(w, r)
			return
		}
		sum := sha256.New()
		if _, err := io.Copy(sum, http.MaxBytesReader(w, r.Body, maxBody)); err != nil {
			status := http.StatusBadRequest
			if tooLong := (*http.MaxBytesError)(nil); errors.As(err, &tooLong) {
				status = http.StatusRequestEntityTooLarge
			}
			http.Error(w, http.StatusText(status), status)
			return
		}
		p := pageOf(r, opt.RemoteAddr(r))
		p.Closed = closed
		p.Body = hex.EncodeToString(sum.Sum(nil))
		b, err := p.seal(key)
		if err != nil {
			http.Error(w, http.StatusText(http.StatusInternalServerError), http.StatusInternalServerError)
			return
		}
		h := w.Header()
		h.Set("Content-Type", "application/json")
		h.Set("Content-Length", strconv.Itoa(len(b)))
		h.Set("Cache-Control", "no-store, no-transform")
		w.Write(b) // the client may be gone; nobody is left to tell
	})
}

func remoteAddr(r *http.Request) netip.Addr {
	ap, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{}
	}
	return ap.Addr().Unmap().WithZone("")
}

// page is the own format. The order of its fields is the order on the wire, and
// version comes first, because an answer is known by it.
type page struct {
	Version int        `json:"freeway"`
	Nonce   string     `json:"nonce"`
	Remote  netip.Addr `json:"remote"`
	TLS     bool       `json:"tls"`
	Proto   string     `json:"proto"`
	Method  string     `json:"method"`
	Host    string     `json:"host"`
	Target  string     `json:"target"`
	Body    string     `json:"body_sha256"`
	Header  []Field    `json:"header"`
	Closed  []uint16   `json:"closed,omitempty"`
	// Behind these follow "sum", the SHA-256 of all bytes before it, and with a
	// key "mac", the HMAC-SHA256 of all bytes before that, both in hexadecimal.
}

// version of the own format.
const version = 1

func pageOf(r *http.Request, remote netip.Addr) page {
	p := page{Version: version, Remote: remote, TLS: r.TLS != nil, Proto: r.Proto, Method: r.Method,
		Host: r.Host, Target: r.RequestURI, Header: []Field{}}
	p.Nonce = nonceIn(r.URL.RawQuery)
	for name, values := range r.Header {
		for _, v := range values {
			p.Header = append(p.Header, Field{name, v})
		}
	}
	sort.SliceStable(p.Header, func(i, j int) bool { return p.Header[i].Name < p.Header[j].Name })
	return p
}

// nonceIn returns the nonce of a query that has exactly one.
func nonceIn(query string) string {
	q, err := url.ParseQuery(query)
	if n := q[NonceKey]; err == nil && len(n) == 1 {
		return n[0]
	}
	return ""
}

const (
	sumMark = `,"sum":"`
	macMark = `,"mac":"`
	ending  = "}\n"
	digits  = 2 * sha256.Size
)

// seal prints the page with its checksum, and its HMAC when there is a key.
func (p page) seal(key []byte) ([]byte, error) {
	b, err := json.Marshal(p)
	if err != nil {
		return nil, err
	}
	b = b[:len(b)-1] // the brace comes back behind the sums
	b = appendSum(b, sumMark, checksum(b))
	if len(key) > 0 {
		b = appendSum(b, macMark, mac(key, b))
	}
	return append(b, ending...), nil
}

func appendSum(b []byte, mark string, sum []byte) []byte {
	b = append(b, mark...)
	b = hex.AppendEncode(b, sum)
	return append(b, '"')
}

func checksum(b []byte) []byte {
	s := sha256.Sum256(b)
	return s[:]
}

func mac(key, b []byte) []byte {
	h := hmac.New(sha256.New, key)
	h.Write(b)
	return h.Sum(nil)
}
