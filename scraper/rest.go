package scraper

import (
	"fmt"
	"time"
)

// Rest keeps a source from being read on its schedule until then; a time that
// has passed ends the rest, and the source is read soon. RunNow reads it all the
// same. A restart ends it, a reload does not. Errors: ErrUnknown.
func (s *Scraper) Rest(name string, until time.Time) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	st := s.states[name]
	if st == nil {
		return fmt.Errorf("%w: %q", ErrUnknown, clip(name, 64))
	}
	now := s.now()
	rested := st.rest.After(now)
	st.rest = time.Time{}
	if until.After(now) {
		st.rest = until
	} else if rested && st.on && s.running {
		st.next = now
	}
	s.poke()
	return nil
}

// wakes returns when the source may be read, at t or when it has rested. The
// caller holds mu.
func (st *state) wakes(t time.Time) time.Time {
	if st.rest.After(t) {
		return st.rest
	}
	return t
}
