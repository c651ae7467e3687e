package judge

import (
	"errors"
	"net/netip"
	"strings"
)

// NonceKey is the query parameter that carries the nonce of a request.
const NonceKey = "nonce"

// MaxAnswer is how long an answer may be, in bytes. The own judge's are below
// 2 KiB for the checker's requests; httpbin's too.
const MaxAnswer = 64 << 10

// Kind is whose format an answer has. The zero value is none that is known.
type Kind uint8

// The formats.
const (
	Own     Kind = 1 + iota // Handler's
	HTTPBin                 // {"origin", "headers", "args"}, as httpbin.org, httpbingo.org and others answer
)

// String returns the name, "" for the zero value.
func (k Kind) String() string {
	switch k {
	case Own:
		return "own"
	case HTTPBin:
		return "httpbin"
	}
	return ""
}

// MarshalText prints the name.
func (k Kind) MarshalText() ([]byte, error) { return []byte(k.String()), nil }

// What is wrong with an answer. Errors of Read and Verify match one of them.
var (
	ErrForeign = errors.New("not a judge's answer")          // another page
	ErrCut     = errors.New("the answer ends in the middle") // it begins like a judge's
	ErrAltered = errors.New("the answer was changed")        // the own format with a checksum that does not fit, or JSON with more around it
)

// Field is one header field. Order within a name is as received.
type Field struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// Seen is what a judge saw of a request.
type Seen struct {
	Remote netip.Addr   // the last address before the judge: the exit
	Chain  []netip.Addr // with HTTPBin every address it names as the client, Remote last; with Own only Remote
	Method string       // "" when the format does not tell
	Target string       // path and query; with HTTPBin from the URL that it names
	Host   string
	Proto  string   // for example "HTTP/1.1"; "" when the format does not tell
	Header []Field  // sorted by name, without Host
	Nonce  string   // "" when the request had none, or several
	TLS    bool     // the judge was reached by TLS
	Closed []uint16 // ports of the judge's host that are closed, as its operator says; at most 16
	Signed bool     // there is an HMAC; Verify says whether it is right
}

// Get returns the first value of a header field, "" when there is none.
func (s Seen) Get(name string) string {
	for _, f := range s.Header {
		if strings.EqualFold(f.Name, name) {
			return f.Value
		}
	}
	return ""
}
