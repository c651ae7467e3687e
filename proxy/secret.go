package proxy

import (
	"crypto/sha256"
	"crypto/subtle"
	"fmt"
	"log/slog"
)

// Secret is a password, token or key. However it is printed, logged or
// marshalled it reads ***; only Reveal gives the text, to the code that
// sends it to its owner or writes it to the store.
type Secret struct {
	text string
	from string // where text was read, see NewReferred
}

const masked = "***"

// NewSecret hides text.
func NewSecret(text string) Secret { return Secret{text: text} }

// NewReferred hides text that was read where a reference says, for example
// file:/run/secrets/x. The reference is no secret.
func NewReferred(text, reference string) Secret { return Secret{text, reference} }

// Reference is that of NewReferred, "" for a text that was given as such.
func (s Secret) Reference() string { return s.from }

// Reveal returns the text.
func (s Secret) Reveal() string { return s.text }

// IsZero reports whether there is no secret.
func (s Secret) IsZero() bool { return s.text == "" }

// Equal compares with text in a time that does not depend on where they differ.
func (s Secret) Equal(text string) bool {
	a, b := sha256.Sum256([]byte(s.text)), sha256.Sum256([]byte(text))
	return subtle.ConstantTimeCompare(a[:], b[:]) == 1
}

// String returns "***", or "" when there is no secret.
func (s Secret) String() string {
	if s.text == "" {
		return ""
	}
	return masked
}

// Format prints String under every verb.
func (s Secret) Format(f fmt.State, _ rune) { fmt.Fprint(f, s.String()) }

// MarshalText prints String, so JSON and YAML never hold the text.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText takes the text as it is, for configuration files.
func (s *Secret) UnmarshalText(b []byte) error {
	*s = Secret{text: string(b)}
	return nil
}

// LogValue prints String.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }
