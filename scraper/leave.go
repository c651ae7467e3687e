package scraper

import (
	"context"
	"fmt"
	"maps"
)

// What a source named is withdrawn when it is switched off or dropped from the
// configuration: the Sink forgets who named these endpoints, so the source is
// neither credited with them nor does it keep them. The endpoints stay and age
// by their checks. A source that is broken, fails or alarms withdraws nothing,
// and one that was off all the time may be tried with RunNow: its set stays
// until the next start.

// dismiss notes that the set of a source is to be withdrawn. The caller holds
// mu and calls withdraw without it.
func (s *Scraper) dismiss(name string, turn chan struct{}) { s.leaving[name] = turn }

// dismissGone notes the sources that were switched off or dropped since old was
// in place. The caller holds mu.
func (s *Scraper) dismissGone(old map[string]*state) {
	for name, was := range old {
		now := s.states[name]
		switch {
		case now == nil, was.on && !now.on && now.err == nil:
			s.dismiss(name, was.turn)
		case now.on:
			delete(s.leaving, name)
		}
	}
}

// dismissStale notes the sources that were dropped or switched off while no
// Scraper was there to see it. The caller holds mu.
func (s *Scraper) dismissStale() {
	for name := range s.given {
		switch st := s.states[name]; {
		case st == nil:
			s.dismiss(name, make(chan struct{}, 1))
		case !st.on && st.err == nil:
			s.dismiss(name, st.turn)
		}
	}
}

// withdraw tells the Sink which sources have left. One whose run is under way
// is withdrawn behind it: whoever gives back the turn calls this again.
func (s *Scraper) withdraw(ctx context.Context) {
	s.mu.Lock()
	leaving := maps.Clone(s.leaving)
	s.mu.Unlock()
	for name, turn := range leaving {
		select {
		case turn <- struct{}{}:
			s.retire(ctx, name)
			<-turn
		default:
		}
	}
}

// retire withdraws the set of one source. The caller has its turn. What fails
// is tried again at the next look at the plan.
func (s *Scraper) retire(ctx context.Context, name string) {
	defer func() {
		if r := recover(); r != nil {
			s.env.Log.Error("the pool panicked", "source", name, "panic", fmt.Sprint(r))
		}
	}()
	s.mu.Lock()
	_, still := s.leaving[name]
	s.mu.Unlock()
	if !still {
		return // it was switched on again
	}
	if err := s.env.Sink.Retire(ctx, name); err != nil {
		if ctx.Err() == nil {
			s.env.Log.Warn("what a source named is not withdrawn yet", "source", name, "error", plain(err))
		}
		return
	}
	s.noteGiven(name, false)
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.leaving, name)
	disown(s.env.Notebook, name)
	if st := s.states[name]; st != nil {
		st.memo.disown()
	}
}

// release gives back the turn of a source.
func (s *Scraper) release(ctx context.Context, st *state) {
	<-st.turn
	s.withdraw(ctx)
}
