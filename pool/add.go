package pool

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"math"
	"net/netip"
	"slices"
	"time"

	"freeway/proxy"
)

// OperatorSource is the source of what the operator adds by hand. Such
// endpoints are forgotten only when they are deleted.
const OperatorSource = "api"

const (
	portion = 1000 // candidates or rows per lock
	// maxNeighbours bounds how much of a /24 (IPv6: /48) one list brings in:
	// 16 ports on each address, several times what honest lists hold.
	maxNeighbours = 4096
	// tombstoneTime is how long a deleted endpoint is kept out.
	tombstoneTime = 30 * 24 * time.Hour
)

// The reasons for which candidates are refused, keys of Yield.Refused.
const (
	refusedInvalid  = "not a canonical endpoint"
	refusedAddress  = "address not allowed"
	refusedFilter   = "denied by filter"
	refusedDeleted  = "deleted by the operator"
	refusedFull     = "the pool is full"
	refusedQuota    = "too many from one source"
	refusedCrowd    = "too many in one network"
	refusedPassword = "a password without a user"
)

// intake is one Add or Insert under way.
type intake struct {
	p        *Pool
	source   uint16
	operator bool
	seen     bitset
	crowd    map[netip.Prefix]int
	yield    proxy.Yield
	quota    int
	few      [1]uint32 // saves an allocation for each known endpoint
}

// Add takes the whole set of endpoints that source names now; it replaces the
// set of the call before, but nothing at all never replaces something. New
// endpoints are on disk when it returns without an error; with ErrReadOnly
// they are in memory only. Known ones cost no write.
func (p *Pool) Add(ctx context.Context, source string, found []proxy.Candidate) (proxy.Yield, error) {
	return p.AddAll(ctx, source, slices.Values(found))
}

// AddAll is Add for a list that is too long to be held: of what comes it keeps a
// thousand at a time.
func (p *Pool) AddAll(ctx context.Context, source string, found iter.Seq[proxy.Candidate]) (proxy.Yield, error) {
	if source == "" {
		return proxy.Yield{}, errors.New("add: a source needs a name")
	}
	in := p.newIntake(source, false)
	if err := in.takeAll(ctx, found); err != nil {
		return in.yield, err
	}
	if in.yield.New+in.yield.Known > 0 {
		if err := in.retire(ctx); err != nil {
			return in.yield, err
		}
	}
	p.tell(Event{Kind: "source", At: p.clock.now(), Source: source, Yield: in.yield})
	return in.yield, in.settle(ctx)
}

// Insert takes endpoints from the operator: they are checked before others,
// also when they had been deleted. It returns when they are on disk. ErrFull
// is in the error when there was no room for any.
func (p *Pool) Insert(ctx context.Context, found []proxy.Candidate) (proxy.Yield, error) {
	in := p.newIntake(OperatorSource, true)
	if err := in.takeAll(ctx, slices.Values(found)); err != nil {
		return in.yield, err
	}
	if in.yield.New+in.yield.Known == 0 && in.yield.Refused[refusedFull] > 0 {
		return in.yield, fmt.Errorf("add %d endpoints: %w", len(found), ErrFull)
	}
	return in.yield, in.settle(ctx)
}

// newIntake begins an Add or Insert. The quota keeps one list from filling the
// pool: a quarter, or ten thousand where the pool itself is small. A one-shot pool
// has none: its source is what was asked for.
func (p *Pool) newIntake(source string, operator bool) *intake {
	p.mu.Lock()
	defer p.mu.Unlock()
	most := p.cfg.MaxEntries
	if p.cfg.Once { // which lets go of what is checked
		most = math.MaxInt
	}
	return &intake{p: p, source: p.sources.id(source), operator: operator || source == OperatorSource,
		crowd: map[netip.Prefix]int{}, quota: max(most/4, min(most, 10_000))}
}

// takeAll takes the candidates, a portion at a time.
func (in *intake) takeAll(ctx context.Context, found iter.Seq[proxy.Candidate]) error {
	part := make([]proxy.Candidate, 0, portion)
	for c := range found {
		if part = append(part, c); len(part) < portion {
			continue
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		in.takePart(part)
		part = part[:0]
	}
	if err := ctx.Err(); err != nil && len(part) > 0 {
		return err
	}
	in.takePart(part)
	return nil
}

// takePart takes a portion.
func (in *intake) takePart(part []proxy.Candidate) {
	in.p.mu.Lock()
	defer in.p.mu.Unlock()
	now := in.p.clock.now()
	for i := range part {
		in.take(&part[i], now)
	}
}

// settle waits until everything that was taken is on disk.
func (in *intake) settle(ctx context.Context) error {
	in.p.metrics.added(in.yield)
	if in.yield.New == 0 && !in.operator {
		return nil
	}
	return in.p.save(ctx)
}

// refuse counts a candidate that is not taken.
func (in *intake) refuse(reason string) {
	if in.yield.Refused == nil {
		in.yield.Refused = map[string]int{}
	}
	in.yield.Refused[reason]++
}

// take takes one candidate. p.mu is held.
func (in *intake) take(c *proxy.Candidate, now time.Time) {
	p, ep := in.p, c.Endpoint
	if why := invalid(c); why != "" {
		in.refuse(why)
		return
	}
	known := in.known(c)
	if len(known) == 0 {
		if why := in.unwelcome(c, now); why != "" {
			in.refuse(why)
			return
		}
		n := p.newRow(ep, c.Password)
		r := p.rows.at(n)
		r.first, r.pool = seconds(now), p.pools.id(poolOf(c))
		if c.Guess {
			r.flags |= guess
		}
		in.yield.New++
		in.name(n, now)
		return
	}
	in.yield.Known++
	for _, n := range known {
		in.update(n, c)
		in.name(n, now)
	}
}

// invalid says why a candidate cannot be an endpoint, "" when it can. Only what
// is canonical is taken, so that one endpoint never has two entries.
func invalid(c *proxy.Candidate) string {
	ep := c.Endpoint
	if ep.User == "" && !c.Password.IsZero() {
		return refusedPassword
	}
	if ep.Protocol < proxy.HTTP || ep.Protocol > proxy.SOCKS5 || ep.Port == 0 {
		return refusedInvalid
	}
	if a, err := netip.ParseAddr(ep.Host); err == nil && a.Zone() == "" && !a.Is4In6() {
		return "" // NewEndpoint would print it again to compare; text of an address has few forms, and the index keeps its bits
	}
	if same, err := proxy.NewEndpoint(ep.Protocol, ep.Host, ep.Port, ep.User); err != nil || same != ep {
		return refusedInvalid
	}
	return ""
}

// poolOf is the label of a candidate; those without one are public.
func poolOf(c *proxy.Candidate) string {
	if c.Pool == "" {
		return proxy.PublicPool
	}
	return c.Pool
}

// known returns the rows that the candidate names. One whose protocol is a
// guess names everything that was found at its address.
func (in *intake) known(c *proxy.Candidate) (rows []uint32) {
	p, ep := in.p, c.Endpoint
	k, ok := p.place(ep.Host, ep.Port, false)
	if !ok {
		return nil
	}
	g := p.findGroup(&k)
	if g == none {
		return nil
	}
	if n := p.findRow(g, ep.Protocol, ep.User); n != none {
		return append(in.few[:0], n)
	}
	if !c.Guess {
		return nil
	}
	for n := p.groups.at(g).head; n != none; n = p.rows.at(n).next {
		if p.userOf(n, p.rows.at(n)) == ep.User {
			rows = append(rows, n)
		}
	}
	return rows
}

// unwelcome says why a new endpoint is refused, "" when it is not.
func (in *intake) unwelcome(c *proxy.Candidate, now time.Time) string {
	p, ep := in.p, c.Endpoint
	if p.forbidden(ep.Host) != nil {
		return refusedAddress
	}
	addr := ep.Addr()
	if p.cfg.Filter.denies(addr) {
		return refusedFilter
	}
	if in.operator {
		p.liftTombstone(ep)
	} else if p.entombed(ep, now) {
		return refusedDeleted
	} else if in.crowded(addr) {
		return refusedCrowd
	} else if p.sources.all[in.source].worth.Listed >= in.quota {
		return refusedQuota
	}
	if p.byID.count >= p.cfg.MaxEntries && !p.makeRoom(now) {
		return refusedFull
	}
	return ""
}

// forbidden says why a host may not be dialled, nil when it may. Names are
// checked again by whoever resolves them.
func (p *Pool) forbidden(host string) error { return p.env.Policy.CheckHost(host) }

// crowded counts the list's new endpoints by network.
func (in *intake) crowded(a netip.Addr) bool {
	if !a.IsValid() {
		return false
	}
	bits := 24
	if a.Is6() {
		bits = 48
	}
	pre, _ := a.Prefix(bits)
	in.crowd[pre]++
	return in.crowd[pre] > maxNeighbours
}

// name notes that the source names row n now.
func (in *intake) name(n uint32, now time.Time) {
	p := in.p
	in.seen.set(n)
	r := p.rows.at(n)
	r.seen = seconds(now)
	if !p.sources.has(r.set, in.source) {
		p.count(r, -1)
		old := r.set
		r.set = p.sources.with(old, in.source)
		p.sources.drop(old)
		p.count(r, 1)
		p.mark(n)
	}
	switch {
	case in.operator:
		p.hurry(n, now, 0)
	case r.checked == 0 && p.groups.at(r.group).queue == nowhere && p.groups.at(r.group).flags == 0:
		p.requeue(r.group, now)
	}
}

// update takes over what a candidate says about a row that is known: another
// password, and a label that is not the public one.
func (in *intake) update(n uint32, c *proxy.Candidate) {
	p := in.p
	r := p.rows.at(n)
	if label := p.pools.id(poolOf(c)); label != r.pool && (in.operator || p.pools.names[r.pool] == proxy.PublicPool) {
		r.pool = label
		p.changed(n)
	}
	if old := p.logins[n]; !c.Password.IsZero() && !old.password.Equal(c.Password.Reveal()) {
		p.logins[n] = credentials{c.Endpoint.User, c.Password}
		r.flags |= login
		p.changed(n)
	}
}
