package main

import (
	"cmp"
	"context"
	"slices"
	"sort"
	"strings"
	"time"

	"freeway/api"
)

// forget makes room for an episode: of those that have ended, the one that has
// not been heard of for longest goes. The caller holds mu.
func (b *alertBook) forget(now time.Time) bool {
	var oldest episodeKey
	var found *episode
	for k, e := range b.known {
		if !e.Until.After(now) && (found == nil || e.heard.Before(found.heard)) {
			oldest, found = k, e
		}
	}
	if found != nil {
		b.finish(found)
		delete(b.known, oldest)
	}
	return found != nil
}

// restUntil returns how long alerts keep a source at rest; a time that has
// passed when none does. The caller holds mu.
func (b *alertBook) restUntil(source string, now time.Time) time.Time {
	until := now
	for _, e := range b.known {
		if e.Action == api.RestSource && e.Source == source && e.Until.After(until) {
			until = e.Until
		}
	}
	return until
}

// factor returns how many times as fast checks go: the highest that an alert
// in force asks for; 1 for nil.
func (b *alertBook) factor() float64 {
	if b == nil {
		return 1
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	f, now := 1.0, b.now()
	for _, e := range b.known {
		if e.Action == api.CheckFaster && e.Until.After(now) {
			f = max(f, e.Factor)
		}
	}
	return f
}

// settle makes the effects what the episodes in force ask for. The caller
// holds turn.
func (b *alertBook) settle() {
	b.mu.Lock()
	now := b.now()
	var rested []string
	for _, e := range b.known {
		if !e.over && !e.Until.After(now) {
			if e.Source != "" && !slices.Contains(rested, e.Source) {
				rested = append(rested, e.Source)
			}
			b.finish(e)
		}
	}
	untils := map[string]time.Time{}
	for _, source := range rested {
		untils[source] = b.restUntil(source, now)
	}
	b.poke()
	b.mu.Unlock()
	for source, until := range untils {
		b.do.rest(source, until) //nolint:errcheck // a source that is gone does not rest
	}
	b.do.faster(b.factor())
}

// finish says that an episode has ended. The caller holds mu.
func (b *alertBook) finish(e *episode) {
	if e.over {
		return
	}
	e.over = true
	b.log.Info("what an alert began has ended", "alert", e.Alert, "action", e.Action, "source", e.Source)
	b.say(alertNote{At: b.now().UTC(), Kind: "alert", Event: "ended", ActiveAlert: e.ActiveAlert})
}

// poke tells Run to look again.
func (b *alertBook) poke() {
	select {
	case b.wake <- struct{}{}:
	default:
	}
}

// Run ends actions when their time has come, until ctx ends.
func (b *alertBook) Run(ctx context.Context) error {
	t := time.NewTimer(time.Hour)
	defer t.Stop()
	for {
		t.Reset(b.nextEnd())
		select {
		case <-ctx.Done():
			return nil
		case <-b.wake:
		case <-t.C:
		}
		if b.nextEnd() <= 0 {
			b.turn.Lock()
			b.settle()
			b.turn.Unlock()
		}
	}
}

// nextEnd is the time until something ends; an hour when nothing is in force.
func (b *alertBook) nextEnd() time.Duration {
	b.mu.Lock()
	defer b.mu.Unlock()
	wait, now := time.Hour, b.now()
	for _, e := range b.known {
		if !e.over {
			wait = min(wait, e.Until.Sub(now))
		}
	}
	return wait
}

// Active implements api.AlertSink.
func (b *alertBook) Active() []api.ActiveAlert {
	b.mu.Lock()
	defer b.mu.Unlock()
	var out []api.ActiveAlert
	for _, e := range b.known {
		if e.Until.After(b.now()) {
			out = append(out, e.ActiveAlert)
		}
	}
	sort.Slice(out, func(i, j int) bool {
		x, y := &out[i], &out[j]
		return cmp.Or(x.Since.Compare(y.Since), strings.Compare(x.Alert, y.Alert), strings.Compare(x.Source, y.Source)) < 0
	})
	return out
}
