package pool

import (
	"encoding/json"
	"maps"
	"net/netip"
	"slices"
	"sort"
	"sync"
	"sync/atomic"
	"time"

	"freeway/proxy"
)

// targets is what is known of registrable domains. Clients choose them, so there
// are at most maxTargets, with at most maxAllPairs pairs in all, and what was not
// touched for long is forgotten.
type targets struct {
	pairs atomic.Int64 // of all targets: those of the last sweep and what came since
	part  atomic.Int64 // how many pairs a target may have at least, in any case

	mu       sync.RWMutex // protects the fields below
	byDomain map[string]*target
}

// divide gives each target an equal part of one half of all pairs. targets.mu is held.
func (t *targets) divide() {
	t.part.Store(int64(min(maxPairs, maxAllPairs/2/max(len(t.byDomain), 1))))
}

// room is how many pairs a target may have now: of the other half as many as it
// needs, as long as there are any.
func (t *targets) room() int {
	if t.pairs.Load() < maxAllPairs/2 {
		return maxPairs
	}
	return int(t.part.Load())
}

// drop forgets a target that still has nothing to tell.
func (t *targets) drop(domain string, x *target, now time.Time) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	x.mu.Lock()
	idle := x.idle(now)
	x.mu.Unlock()
	if !idle || t.byDomain[domain] != x {
		return false
	}
	delete(t.byDomain, domain)
	t.divide()
	return true
}

// get returns the target of a domain, nil when nothing is known of it.
func (t *targets) get(domain string) *target {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.byDomain[domain]
}

// make returns the target of a domain. When there are too many, the one that
// was touched longest ago of a few is forgotten.
func (t *targets) make(domain string, now time.Time) *target {
	if x := t.get(domain); x != nil {
		return x
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if x := t.byDomain[domain]; x != nil {
		return x
	}
	if len(t.byDomain) >= maxTargets {
		t.evict()
	}
	x := newTarget(now, t)
	t.byDomain[domain] = x
	t.divide()
	return x
}

// evict forgets a target that was not touched for long. targets.mu is held.
func (t *targets) evict() {
	victim, tried := "", 0
	var oldest time.Time
	for d, x := range t.byDomain { // maps are walked in random order
		x.mu.Lock()
		at := x.touched
		x.mu.Unlock()
		if tried == 0 || at.Before(oldest) {
			victim, oldest = d, at
		}
		if tried++; tried == 32 {
			break
		}
	}
	delete(t.byDomain, victim)
}

// reaching returns those of the wanted pools from which the target is not known
// to be down. all says that those are all.
func (t *targets) reaching(want *proxy.Want, now time.Time) (pools []string, all bool) {
	pools = poolsOf(want)
	x := t.get(want.Target.Domain)
	if x == nil || want.Target.Domain == "" {
		return pools, true
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	down := func(pool string) bool { return x.circuits[sight{spotOf(&want.Target), pool}].open(now) }
	if !slices.ContainsFunc(pools, down) {
		return pools, true
	}
	return slices.DeleteFunc(slices.Clone(pools), down), false
}

// info is the view of a target; ok is false when there is nothing to tell.
func (x *target) info(domain string, now time.Time) (i TargetInfo, ok bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	i.Domain = domain
	for at, c := range x.circuits {
		if c.open(now) {
			i.Down, i.DownAt = true, append(i.DownAt, at.String())
			i.Until = latest(i.Until, c.openTill)
		}
	}
	slices.Sort(i.DownAt)
	i.DownAt = slices.Compact(i.DownAt) // pools may agree
	if !i.Down && now.Before(x.throttled) {
		i.Throttling, i.Until = true, x.throttled
	}
	for exit, p := range x.pairs {
		if now.Before(p.until()) {
			i.Banned = append(i.Banned, Ban{exit, p.until(), max(p.bans, p.fails), !now.Before(p.banned)})
		}
	}
	sort.Slice(i.Banned, func(a, b int) bool { return i.Banned[a].Exit.Less(i.Banned[b].Exit) })
	return i, i.Down || i.Throttling || len(i.Banned) > 0
}

// latest returns the later of two times.
func latest(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// keptBan is a ban as the store keeps it.
type keptBan struct {
	Exit  netip.Addr `json:"exit"`
	Until int64      `json:"until"`          // Unix seconds; of the ban
	Shut  int64      `json:"shut,omitempty"` // Unix seconds; of failures
	Bans  int        `json:"bans,omitempty"`
	Fails int        `json:"fails,omitempty"`
}

// doc is what the store keeps of the target, nil for nothing.
func (x *target) doc(now time.Time) []byte {
	x.mu.Lock()
	defer x.mu.Unlock()
	var kept []keptBan
	for exit, p := range x.pairs {
		if now.Before(p.until()) {
			kept = append(kept, keptBan{exit, max(p.banned.Unix(), 0), max(p.shut.Unix(), 0), p.bans, p.fails})
		}
	}
	if len(kept) == 0 {
		return nil
	}
	doc, err := json.Marshal(kept)
	if err != nil {
		return nil
	}
	return doc
}

// load takes over what the store kept.
func (x *target) load(doc []byte, now time.Time) error {
	var kept []keptBan
	if err := json.Unmarshal(doc, &kept); err != nil {
		return err
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	limit := now.Add(maxRetryAfter).Unix()
	for _, k := range kept {
		p := &pair{banned: time.Unix(min(k.Until, limit), 0), shut: time.Unix(min(k.Shut, limit), 0), bans: min(max(k.Bans, 0), 16), fails: min(max(k.Fails, 0), 16)}
		p.record = evidence{fail: float32(p.bans + p.fails), at: now}
		if k.Exit.IsValid() && now.Before(p.until()) && len(x.pairs) < x.all.room() {
			x.pairs[k.Exit] = p
			x.all.pairs.Add(1)
		}
	}
	return nil
}

// Targets returns the domains that there is something to tell of, by name.
func (p *Pool) Targets() []TargetInfo {
	now := p.clock.now()
	p.targets.mu.RLock()
	defer p.targets.mu.RUnlock()
	var out []TargetInfo
	for _, domain := range slices.Sorted(maps.Keys(p.targets.byDomain)) {
		if i, ok := p.targets.byDomain[domain].info(domain, now); ok {
			out = append(out, i)
		}
	}
	return out
}

// Forgive forgets all that is held against a domain's exits, and that it was
// down. It reports whether there was anything.
func (p *Pool) Forgive(domain string) bool {
	p.targets.mu.Lock()
	defer p.targets.mu.Unlock()
	if p.targets.byDomain[domain] == nil {
		return false
	}
	delete(p.targets.byDomain, domain)
	p.targets.divide()
	p.docs.put(docTarget+domain, nil)
	return true
}
