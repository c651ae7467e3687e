package main

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"freeway/proxy"
)

// summary is what a scan found, counted.
type summary struct {
	latency   [len(latencySteps) + 1]int
	anonymity map[string]int
	protocols map[string]int
	failures  map[string]int // by stage and class
}

// latencySteps are the upper ends of the bars of the histogram; what is slower is in the last.
var latencySteps = [...]time.Duration{100 * time.Millisecond, 250 * time.Millisecond, 500 * time.Millisecond, time.Second,
	2 * time.Second, 3 * time.Second, 5 * time.Second, 10 * time.Second}

// live counts one that is printed as live.
func (s *summary) live(e *proxy.Entry) {
	i, _ := slices.BinarySearch(latencySteps[:], e.Latency)
	s.latency[i]++
	count(&s.anonymity, cmp.Or(e.Traits.Anonymity.String(), "unknown"))
	count(&s.protocols, e.Endpoint.Protocol.String())
}

// verdict counts the failures of a verdict.
func (s *summary) verdict(v *proxy.Verdict) {
	for _, o := range v.Outcomes {
		if o.Class != proxy.OK {
			count(&s.failures, o.Stage.String()+" "+o.Class.String())
		}
	}
}

// count adds one to what is named.
func count(m *map[string]int, name string) {
	if *m == nil {
		*m = map[string]int{}
	}
	(*m)[name]++
}

// text has a line for each kind of count that there is, and a bar for each step of latency.
func (s *summary) text() string {
	var b strings.Builder
	for _, row := range []struct {
		name string
		of   map[string]int
	}{{"protocols", s.protocols}, {"anonymity", s.anonymity}, {"failures", s.failures}} {
		if len(row.of) > 0 {
			fmt.Fprintf(&b, "%-10s %s\n", row.name, ranked(row.of))
		}
	}
	most := slices.Max(s.latency[:])
	for i, n := range s.latency {
		if n > 0 {
			fmt.Fprintf(&b, "%-10s %-7s %6d %s\n", "latency", stepName(i), n, strings.Repeat("#", max(1, 40*n/most)))
		}
	}
	return b.String()
}

// stepName says what a bar stands for.
func stepName(i int) string {
	if i == len(latencySteps) {
		return "> " + latencySteps[i-1].String()
	}
	return "< " + latencySteps[i].String()
}

// ranked prints counts, the largest first.
func ranked(of map[string]int) string {
	names := make([]string, 0, len(of))
	for name := range of {
		names = append(names, name)
	}
	slices.SortFunc(names, func(a, b string) int { return cmp.Or(of[b]-of[a], strings.Compare(a, b)) })
	for i, name := range names {
		names[i] = fmt.Sprintf("%s %d", name, of[name])
	}
	return strings.Join(names, ", ")
}
