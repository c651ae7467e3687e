package pool

import (
	"cmp"
	"math"
	"net/netip"
	"slices"
	"sort"
	"strings"
	"sync"

	"freeway/proxy"
)

// view is a set of items, ordered by exit, so that rotation can count exits
// and not endpoints: lists hold hosts with thousands of ports. It is immutable.
type view struct {
	items  []*item
	starts []int32 // of each exit in items, and the end

	weigh  sync.Once      // makes sums, which only the adaptive rotation needs
	sums   []float64      // running sum of the exits' weights
	parts  []float32      // of each exit, how much of its weight is left to it by what its owner and list may have
	byTime func() []*item // the items by latency, made when they are first asked for
}

// newView orders the items, which it takes over.
func newView(items []*item) *view {
	slices.SortFunc(items, func(a, b *item) int { return a.exit.Compare(b.exit) })
	v := &view{items: items}
	for i, it := range items {
		if i == 0 || it.exit != items[i-1].exit {
			v.starts = append(v.starts, int32(i))
		}
	}
	v.starts = append(v.starts, int32(len(items)))
	v.byTime = sync.OnceValue(func() []*item {
		sorted := slices.Clone(items)
		slices.SortStableFunc(sorted, func(a, b *item) int { return cmp.Compare(a.latency(), b.latency()) })
		return sorted
	})
	return v
}

// exits returns how many different exits there are.
func (v *view) exits() int { return len(v.starts) - 1 }

// exit returns the items of one exit.
func (v *view) exit(i int) []*item { return v.items[v.starts[i]:v.starts[i+1]] }

// find returns the items of the exit with an address.
func (v *view) find(a netip.Addr) []*item {
	i, ok := sort.Find(v.exits(), func(i int) int { return a.Compare(v.items[v.starts[i]].exit) })
	if !ok {
		return nil
	}
	return v.exit(i)
}

// One owner can have a quarter of what is chosen, and one list, with what no
// other list names, a half. Of three draws the best is chosen, and a flood may
// always look best, so the shares of a draw are what makes 1-(1-s)³ that much.
// The boosts bound how much more often than its part the remainder is drawn
// to make that so.
const (
	ownerShare  = 0.091
	ownerBoost  = 48
	sourceShare = 0.206
	sourceBoost = 24
)

// weights returns the running sums by which exits are drawn: by the fourth power of the
// score of their best endpoint, less for owners and lists that have too many.
// Most live ones are flappers that will not live for long: drawn by the score
// itself, all three draws fell among them so often that 92 % of uses worked
// instead of over 93 (TestMonth); equals stay equal.
func (v *view) weights() []float64 {
	v.weigh.Do(func() {
		owners, lists := map[owner]float64{}, map[string]float64{}
		v.sums, v.parts = make([]float64, v.exits()), make([]float32, v.exits())
		all := 0.0
		for i := range v.exits() {
			first, w := v.exit(i)[0], attraction(v.exit(i))
			v.sums[i] = w
			all += w
			owners[first.owner] += w
			if first.only != "" {
				lists[first.only] += w
			}
		}
		ownerLimit := limit(owners, all, ownerShare, ownerBoost)
		listLimit := limit(lists, all, sourceShare, sourceBoost)
		left := 0.0
		for i, w := range v.sums {
			first := v.exit(i)[0]
			part := thinned(owners[first.owner], ownerLimit)
			if first.only != "" {
				part *= thinned(lists[first.only], listLimit)
			}
			v.parts[i] = float32(part)
			left += w * part
		}
		for before := math.Inf(1); left < 0.99*before; { // what one may not gain is not there for the others
			before, left = left, 0
			for i, w := range v.sums {
				part := min(float64(v.parts[i]), before*max(gainMost/all, gainFew/w)) // a share of gainMost·w/all, or gainFew
				v.parts[i] = float32(part)
				left += w * part
			}
		}
		total := 0.0
		for i, w := range v.sums {
			total += w * float64(v.parts[i])
			v.sums[i] = total
		}
	})
	return v.sums
}

// What is taken from owners and lists that have too many falls to the others. Where
// there are few of those, no exit gains more by it than gainMost times its share, or
// the share gainFew: twelve ports of one exit, the only one of their list, had a half.
const (
	gainMost = 2
	gainFew  = 0.05
)

// attraction is what an exit weighs in draws: the fourth power of the best score of its
// endpoints.
func attraction(items []*item) float64 {
	best := 0.2 // a live one is worth a try now and then
	for _, it := range items {
		best = max(best, it.entry.Score)
	}
	return best * best * best * best
}

// limit returns how much of the weight of one group counts so that no group has
// more than its share of all: the fixed point of limit = share · what then counts.
// One exit of full score always counts.
func limit[K comparable](groups map[K]float64, all, share, boost float64) float64 {
	most := 0.0
	for _, w := range groups {
		most = max(most, w)
	}
	l := most
	for range 32 {
		counted := all
		for _, w := range groups {
			counted -= max(w-l, 0)
		}
		if l <= share*counted {
			break
		}
		l = max(share*counted, 1)
	}
	return max(l, most/boost)
}

// thinned is by how much the weight of a group's exits is less, so that those
// that weigh w count as limit.
func thinned(w, limit float64) float64 { return min(1, limit/w) }

// draw returns the number of an exit, by weight, and its part. r is in [0, 1).
func (v *view) draw(r float64) (i int, part float32) {
	sums := v.weights()
	x := r * sums[len(sums)-1]
	i, _ = slices.BinarySearchFunc(sums, x, func(s, x float64) int {
		if s <= x {
			return -1
		}
		return 1
	})
	i = min(i, len(sums)-1)
	return i, v.parts[i]
}

// view returns the items that match. Snapshots live a second, so the answers
// of the filters in use are remembered.
func (l *label) view(f *proxy.Filter, need proxy.Caps) *view {
	if f.IsZero() && need == 0 {
		return l.all
	}
	key := filterKey(f, need)
	l.mu.Lock()
	v := l.views[key]
	l.mu.Unlock()
	if v != nil {
		return v
	}
	var items []*item
	for _, it := range l.all.items {
		if matches(it, f, need) {
			items = append(items, it)
		}
	}
	v = newView(items)
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.views != nil && len(l.views) < maxViews {
		l.views[key] = v
	}
	return v
}

// matches reports whether an item is what the want asks for. A filter's pools
// choose the label and its states cannot widen what is handed out.
func matches(it *item, f *proxy.Filter, need proxy.Caps) bool {
	return it.entry.Traits.Able(it.entry.Endpoint.Protocol, need) && (f.IsZero() || f.Match(&it.entry) && reaches(it.reached, f))
}

// reaches reports whether one of the per-target checks passed that the filter
// names, if it names any.
func reaches(reached []string, f *proxy.Filter) bool {
	return len(f.Targets) == 0 || slices.ContainsFunc(reached, func(name string) bool { return slices.Contains(f.Targets, name) })
}

// filterKey tells filters apart.
func filterKey(f *proxy.Filter, need proxy.Caps) string {
	var b strings.Builder
	b.WriteByte(byte(need))
	for _, part := range describe(f) {
		b.WriteString(part)
		b.WriteByte(0)
	}
	return b.String()
}
