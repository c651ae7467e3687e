package access

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"strings"
)

// Role is what a token may do. Each role may do all that those before it may.
type Role int

// The roles. The zero value may do nothing.
const (
	Nobody   Role = iota
	Viewer        // looks: GET and HEAD
	Operator      // also changes proxies, sources, sessions and targets
	Admin         // also reloads, takes backups and profiles
)

var roleNames = map[Role]string{Viewer: "viewer", Operator: "operator", Admin: "admin"}

// String returns the name, as in the configuration.
func (r Role) String() string { return roleNames[r] }

// UnmarshalText reads a name.
func (r *Role) UnmarshalText(text []byte) error {
	for role, name := range roleNames {
		if strings.EqualFold(string(text), name) {
			*r = role
			return nil
		}
	}
	return fmt.Errorf("unknown role %.20q; use viewer, operator or admin", text)
}

// MarshalText writes the name.
func (r Role) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// Hash is the SHA-256 of a token. Tokens are long and random, so a fast hash
// is enough; one that people make up themselves is not safe in any form.
type Hash [sha256.Size]byte

// HashToken hashes a token.
func HashToken(token string) Hash { return sha256.Sum256([]byte(token)) }

// String returns "sha256:" and 64 hex digits.
func (h Hash) String() string { return "sha256:" + hex.EncodeToString(h[:]) }

// ParseHash reads what String writes.
func ParseHash(s string) (h Hash, err error) {
	digits, ok := strings.CutPrefix(strings.TrimSpace(s), "sha256:")
	b, err := hex.DecodeString(digits)
	if !ok || err != nil || len(b) != len(h) {
		return h, errors.New("not a hash; write sha256: and 64 hex digits, as freeway config token prints it")
	}
	return Hash(b), nil
}

// NewToken returns a random token of 256 bits.
func NewToken() string {
	var b [32]byte
	rand.Read(b[:]) // never fails: it ends the program instead
	return base64.RawURLEncoding.EncodeToString(b[:])
}

// Token is one that Guard accepts.
type Token struct {
	Name string // for the log; not secret
	Role Role
	Hash Hash
	Only string // the one path that it may POST to, and nothing else; "": no such limit
}

// caller is who has the token.
func (t Token) caller() Caller { return Caller{Name: t.Name, Role: t.Role, only: t.Only} }

// Caller is who sends a request.
type Caller struct {
	Name string // of the token; "" when none was asked for
	Role Role

	only string // the one path that it may POST to; "": any
}

// may reports whether the caller's role is enough, and its token meant for that.
func (c Caller) may(r *http.Request) bool {
	if c.only != "" && (r.Method != http.MethodPost || r.URL.EscapedPath() != c.only) {
		return false
	}
	return c.Role >= needed(r)
}

type callerKey struct{}

// From returns who sent the request of a context: what Guard found out, the
// zero value elsewhere.
func From(ctx context.Context) Caller {
	c, _ := ctx.Value(callerKey{}).(Caller)
	return c
}

// with notes the caller for the handlers.
func with(r *http.Request, c Caller) *http.Request {
	return r.WithContext(context.WithValue(r.Context(), callerKey{}, c))
}

// find returns whose token it is. It compares with all of them, each in
// constant time, so that neither the answer's time nor the order tells anything.
func find(tokens []Token, token string) (found Caller, ok bool) {
	got := HashToken(token)
	for _, t := range tokens {
		if subtle.ConstantTimeCompare(got[:], t.Hash[:]) == 1 {
			found, ok = t.caller(), true
		}
	}
	return found, ok
}

// needed is the least role for a request; the handlers of what only an admin
// may do ask again with From, so that no spelling of a path matters.
func needed(r *http.Request) Role {
	switch r.Method {
	case http.MethodGet, http.MethodHead, http.MethodOptions:
		return Viewer
	}
	return Operator
}
