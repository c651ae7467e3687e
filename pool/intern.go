package pool

import (
	"encoding/binary"
	"slices"

	"freeway/proxy"
)

// labels gives small numbers to strings that repeat. They are never forgotten:
// there are few of them. Number 0 is "".
type labels struct {
	names []string
	ids   map[string]uint16
}

// newLabels returns labels that know only the empty one.
func newLabels() *labels {
	return &labels{names: []string{""}, ids: map[string]uint16{"": 0}}
}

// maxLabels bounds what foreign names can use up; beyond it all share the last.
const maxLabels = 1<<16 - 1

// id returns the number of a name, a new one when the name is new.
func (l *labels) id(name string) uint16 {
	if n, ok := l.ids[name]; ok {
		return n
	}
	if len(l.names) >= maxLabels {
		return maxLabels - 1
	}
	n := uint16(len(l.names))
	l.names = append(l.names, name)
	l.ids[name] = n
	return n
}

// source is a list and what became of what it names.
type source struct {
	name    string
	worth   proxy.Worth
	replace bool     // the set comes whole with every Add; not so the operator's
	stride  float64  // its place in the order of turns; see popFresh
	fresh   []uint32 // groups never checked, waiting in no order; may hold numbers that are not fresh any more
}

// sourceSet is a set of sources that some rows share. Sets are immutable;
// number 0 is the empty one.
type sourceSet struct {
	ids   []uint16
	names []string // in the order of ids; shared by entries, never written
	refs  int
}

// sources interns sources and their sets.
type sources struct {
	all   []*source // by number
	byID  map[string]uint16
	sets  []sourceSet
	bySet map[string]uint32
	spare []uint32 // numbers of sets that nobody uses
}

// newSources returns sources that know nothing but the empty set.
func newSources() *sources {
	return &sources{byID: map[string]uint16{}, sets: []sourceSet{{refs: 1}}, bySet: map[string]uint32{"": 0}}
}

// id returns the number of a source, a new one when it is new.
func (s *sources) id(name string) uint16 {
	if n, ok := s.byID[name]; ok {
		return n
	}
	if len(s.all) >= maxLabels {
		return maxLabels - 1
	}
	n := uint16(len(s.all))
	s.all = append(s.all, &source{name: name, replace: name != OperatorSource})
	s.byID[name] = n
	return n
}

// set returns the number of the set of ids, which it sorts, and counts one
// more user of it.
func (s *sources) set(ids []uint16) uint32 {
	slices.Sort(ids)
	ids = slices.Compact(ids)
	key := make([]byte, 0, 2*len(ids))
	for _, id := range ids {
		key = binary.BigEndian.AppendUint16(key, id)
	}
	if n, ok := s.bySet[string(key)]; ok {
		s.sets[n].refs++
		return n
	}
	set := sourceSet{ids: slices.Clone(ids), refs: 1}
	for _, id := range ids {
		set.names = append(set.names, s.all[id].name)
	}
	n := uint32(len(s.sets))
	if last := len(s.spare) - 1; last >= 0 {
		n = s.spare[last]
		s.spare = s.spare[:last]
		s.sets[n] = set
	} else {
		s.sets = append(s.sets, set)
	}
	s.bySet[string(key)] = n
	return n
}

// drop counts one user less of set n.
func (s *sources) drop(n uint32) {
	set := &s.sets[n]
	if set.refs--; set.refs > 0 || n == 0 {
		return
	}
	key := make([]byte, 0, 2*len(set.ids))
	for _, id := range set.ids {
		key = binary.BigEndian.AppendUint16(key, id)
	}
	delete(s.bySet, string(key))
	*set = sourceSet{}
	s.spare = append(s.spare, n)
}

// with returns the set n and id, and counts one more user of it.
func (s *sources) with(n uint32, id uint16) uint32 {
	return s.set(append(slices.Clone(s.sets[n].ids), id))
}

// without returns the set n less id, and counts one more user of it.
func (s *sources) without(n uint32, id uint16) uint32 {
	return s.set(slices.DeleteFunc(slices.Clone(s.sets[n].ids), func(v uint16) bool { return v == id }))
}

// has reports whether set n holds the source id.
func (s *sources) has(n uint32, id uint16) bool {
	_, ok := slices.BinarySearch(s.sets[n].ids, id)
	return ok
}

// prior is the yield of the best source of the set: what is assumed of an
// endpoint that nothing else is known of.
func (s *sources) prior(n uint32) float64 {
	best := 0.0
	for _, id := range s.sets[n].ids {
		best = max(best, s.all[id].worth.Yield())
	}
	if best == 0 {
		return proxy.DefaultPrior
	}
	return best
}
