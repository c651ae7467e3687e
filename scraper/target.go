package scraper

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

const (
	maxPages = 200
	maxBody  = 64 << 10 // bytes that a POST sends
)

// target is one request of a source: a page, of today or of an earlier day.
type target struct {
	url, body string
	day       int // days before today
}

// method returns how the list is asked for.
func (s Source) method() string {
	if s.Method == "" {
		return http.MethodGet
	}
	return strings.ToUpper(s.Method)
}

// posts reports whether the list is asked for with POST.
func (s Source) posts() bool { return s.method() == http.MethodPost }

// viaPool reports whether the list is fetched through the pool.
func (s Source) viaPool() bool { return s.Via == ViaPool }

// via is Result.Via.
func (s Source) via() string {
	if s.viaPool() {
		return ViaPool
	}
	return ""
}

// validateTarget checks where the list is and how it is asked for.
func (s Source) validateTarget() error {
	switch {
	case (s.URL == "") == (s.File == ""):
		return errors.New("url: a source has either a url or a file")
	case s.File != "":
		return s.validateFile()
	case s.method() != http.MethodGet && !s.posts():
		return fmt.Errorf("method: %q is neither GET nor POST", clip(s.Method, 32))
	case !s.Body.IsZero() && !s.posts():
		return errors.New("body: only method POST has a body")
	case len(s.Body.Reveal()) > maxBody:
		return fmt.Errorf("body: longer than %d bytes", maxBody)
	}
	targets, err := s.targets(time.Time{})
	if err != nil {
		return err
	}
	u, err := url.Parse(targets[0].url)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return fmt.Errorf("url: %q is not an http or https address", clip(redactURL(s.URL), 120))
	}
	return nil
}

// validateFile checks that nothing is asked of a file that only a url has.
func (s Source) validateFile() error {
	for _, x := range []struct {
		key string
		set bool
	}{{"pages", s.Pages != Pages{}}, {"days", s.Days != 0}, {"method", s.Method != ""}, {"body", !s.Body.IsZero()}, {"via", s.viaPool()}} {
		if x.set {
			return fmt.Errorf("%s: only a url has %s", x.key, x.key)
		}
	}
	return nil
}

// harmless are headers that any upstream may read.
var harmless = []string{"accept", "accept-language", "host", "origin", "referer", "user-agent", "x-requested-with", "content-type"}

// validateVia checks the way to the list. What may be a key is not sent in the
// clear through upstreams that belong to strangers.
func (s Source) validateVia() error {
	switch s.Via {
	case "", "direct":
		return nil
	case ViaPool:
	default:
		return fmt.Errorf("via: %q is neither direct nor pool", clip(s.Via, 32))
	}
	u, err := url.Parse(s.URL)
	if err != nil || u.Scheme != "http" {
		return nil
	}
	secret := u.User != nil || redactURL(s.URL) != u.String() || !s.Body.IsZero()
	for k := range s.Headers {
		secret = secret || !slices.Contains(harmless, strings.ToLower(k))
	}
	if secret {
		return errors.New("via: upstreams of the pool could read the login, keys, headers or body of an http address; use https or fetch it directly")
	}
	return nil
}

// bodyType guesses what a body is: JSON, or else a form.
func bodyType(body string) string {
	if text := strings.TrimSpace(body); strings.HasPrefix(text, "{") || strings.HasPrefix(text, "[") {
		return "application/json"
	}
	return "application/x-www-form-urlencoded"
}
