package api

import (
	"errors"
	"fmt"
	"time"
)

// Ready is `admin.ready`: when /readyz says that traffic may come.
type Ready struct {
	Upstreams int           `yaml:"upstreams"` // as many must be usable, 0 to 1,000,000; default 1; 0: none
	WarmUp    time.Duration `yaml:"warm_up"`   // that long after the start their number matters no more, up to 24h; default 0: it always does
}

// DefaultReady is what holds when nothing is said.
func DefaultReady() Ready { return Ready{Upstreams: 1} }

// Says returns whether traffic may come with so many usable upstreams, so long
// after the start, and the text about it.
func (r Ready) Says(usable int, since time.Duration) (ok bool, text string) {
	switch {
	case usable >= r.Upstreams:
		return true, fmt.Sprintf("%d can be used", usable)
	case r.WarmUp > 0 && since >= r.WarmUp:
		return true, fmt.Sprintf("%d can be used, fewer than %d; the warm-up is over", usable, r.Upstreams)
	case usable == 0:
		return false, "no proxy is live yet"
	}
	return false, fmt.Sprintf("%d can be used, %d are needed", usable, r.Upstreams)
}

// validate reports every mistake, each beginning with the key it is about.
func (r Ready) validate() error {
	var errs []error
	if r.Upstreams < 0 || r.Upstreams > 1e6 {
		errs = append(errs, fmt.Errorf("upstreams: %d is not between 0 and 1000000", r.Upstreams))
	}
	if r.WarmUp < 0 || r.WarmUp > 24*time.Hour {
		errs = append(errs, fmt.Errorf("warm_up: %v is not between 0 and 24h", r.WarmUp))
	}
	return errors.Join(errs...)
}
