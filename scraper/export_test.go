package scraper

import (
	"context"
	"io"
	"iter"
	"net/http"
	"net/url"
	"time"

	"freeway/proxy"
)

// SetTransport makes s send its requests to rt instead of the network.
func (s *Scraper) SetTransport(rt http.RoundTripper) { s.web.first, s.web.hop = rt, rt }

// SetParse replaces the reader of lists.
func (s *Scraper) SetParse(f func(io.Reader, ParseOptions) iter.Seq2[proxy.Candidate, error]) {
	s.parse = f
}

// UsesProxy reports whether a transport of s would ask anybody for a proxy.
func (s *Scraper) UsesProxy() bool {
	return s.web.first.(*http.Transport).Proxy != nil || s.web.hop.(*http.Transport).Proxy != nil
}

// Hosts returns how many hosts s remembers.
func (s *Scraper) Hosts() int {
	s.web.hosts.mu.Lock()
	defer s.web.hosts.mu.Unlock()
	return len(s.web.hosts.m)
}

// Hop makes a request as behind a redirect.
func (s *Scraper) Hop(ctx context.Context, to string) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, to, nil)
	if err != nil {
		return err
	}
	resp, err := s.web.hop.RoundTrip(r)
	if err != nil {
		return err
	}
	return resp.Body.Close()
}

// Follow is follow.
func (s *Scraper) Follow(from, location string) (*url.URL, error) {
	u, err := url.Parse(from)
	if err != nil {
		return nil, err
	}
	return s.web.follow(u, location)
}

// Decode is decode with an int64 limit.
func Decode(r io.Reader, encoding string, limit int64) (io.Reader, error) {
	c, err := decode(r, encoding, proxy.Size(limit))
	if err != nil {
		return nil, err
	}
	return c, nil
}

// Sketch is sketch for tests.
type Sketch = sketch

var (
	ErrTooLarge = errTooLarge
	ErrAlarm    = errAlarm
	BackOff     = backOff
	IsAlarm     = isAlarm
	LearnUsual  = learnUsual
	FadeUsual   = fadeUsual
	NewSketch   = newSketch
	ReadSketch  = readSketch
	PaceOf      = paceOf
	ReasonKind  = reasonKind
)

// The paces.
const (
	PaceNormal, PaceSlow, PaceFast = paceNormal, paceSlow, paceFast
)

// Alike is alike.
func (a sketch) Alike(b sketch) float64 { return a.alike(b) }

// Bytes is bytes.
func (a sketch) Bytes() []byte { return a.bytes() }

// RetryAfter is retryAfter.
func RetryAfter(text string, now time.Time) time.Duration { return retryAfter(text, now) }
