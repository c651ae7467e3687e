package lab

import (
	"context"
	"crypto/x509"
	"errors"

	"freeway/proxy"
)

// Lab is a running lab. All methods are safe for concurrent use.
type Lab struct{}

// Start opens the lab. It runs until Close or until ctx ends.
func Start(ctx context.Context, cfg Config) (*Lab, error) { return nil, errors.New("not yet") }

// Close ends everything at once and waits for it.
func (l *Lab) Close() error { return nil }

// Add opens one more upstream and returns where it listens; the password is not in it.
func (l *Lab) Add(u Upstream) (proxy.Endpoint, error) { return proxy.Endpoint{}, errors.New("not yet") }

// HTTPTarget returns the base URL of the plain target, "http://127.0.0.1:port".
func (l *Lab) HTTPTarget() string { return "" }

// HTTPSTarget returns the base URL of the TLS target, "https://127.0.0.1:port".
func (l *Lab) HTTPSTarget() string { return "" }

// HTTPName returns the plain target by a name that only upstreams resolve, "http://www.lab.test".
func (l *Lab) HTTPName() string { return "http://www.lab.test" }

// HTTPSName returns the TLS target by a name that only upstreams resolve, "https://www.lab.test".
func (l *Lab) HTTPSName() string { return "https://www.lab.test" }

// JudgeHTTP returns the base URL of the plain judge, "http://127.0.0.1:port".
func (l *Lab) JudgeHTTP() string { return "" }

// JudgeHTTPS returns the base URL of the TLS judge, "https://127.0.0.1:port".
func (l *Lab) JudgeHTTPS() string { return "" }

// JudgeKey returns the key with which the judges sign.
func (l *Lab) JudgeKey() []byte { return nil }

// CAPEM returns the certificate of the lab's CA in PEM.
func (l *Lab) CAPEM() []byte { return nil }

// Roots returns a pool with the lab's CA.
func (l *Lab) Roots() *x509.CertPool { return nil }

// ListURLs returns the addresses of the lists: one per protocol (host:port), one
// mixed (protocol://host:port) and one that does not say the protocol.
func (l *Lab) ListURLs() []string { return nil }

// TruthURL returns the address of the ground truth in JSON.
func (l *Lab) TruthURL() string { return "" }

// Truth returns the ground truth about all upstreams.
func (l *Lab) Truth() []Truth { return nil }

// DirectHits returns how many connections to the targets did not come from an upstream.
func (l *Lab) DirectHits() int { return 0 }

// Bytes returns the n bytes that the target serves at /bytes/n?seed=seed.
func Bytes(n int, seed string) []byte { return make([]byte, n) }
