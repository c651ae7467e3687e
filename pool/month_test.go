package pool_test

import (
	"context"
	"fmt"
	"math"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"freeway/pool"
	"freeway/proxy"
)

// month is a run of the real pool over the population model, event by event,
// in the pool's own time and in one goroutine.
type month struct {
	*nature
	t     *testing.T
	p     *pool.Pool
	ever  []*node        // that passed a check at some time and are known
	once  map[*node]bool // of ever
	quick bool           // a day of a tenth is too little for the share that is served

	checks, passes, found int            // by the pool's schedule
	blind, blindOK        int            // by going round all that is listed
	served, servedOK      int            // by score
	anyUse, anyOK         int            // any that once lived
	moments               [2]reliability // of any that once lived; of live ones
}

// reliability compares scores with what became of uses at random moments.
type reliability [10]struct {
	n, ok int
	sum   float64
}

func (r *reliability) add(score float64, ok bool) {
	b := &r[min(int(score*10), 9)]
	b.n++
	b.sum += score
	if ok {
		b.ok++
	}
}

// String is a table for people.
func (r *reliability) String() string {
	var b strings.Builder
	for i, x := range r {
		if x.n > 0 {
			fmt.Fprintf(&b, "  %.1f: %7d uses, predicted %.3f, observed %.3f\n", float64(i)/10, x.n, x.sum/float64(x.n), float64(x.ok)/float64(x.n))
		}
	}
	return b.String()
}

const budget = 4 // connects a second

// run lets the time pass.
func (m *month) run(d time.Duration) {
	ctx := context.Background()
	start, end := m.now, m.now.Add(d)
	every := func(d time.Duration) time.Time { return m.now.Add(time.Duration(m.rng.ExpFloat64() * float64(d))) }
	minute, hour, use, look := m.now, m.now, m.now, m.now
	free := m.now // when the budget allows the next connect
	for m.now.Before(end) {
		if !m.now.Before(hour) {
			m.turn()
			m.list(ctx)
			hour = m.now.Add(3 * time.Hour)
		}
		if !m.now.Before(minute) {
			if err := m.p.Minute(ctx); err != nil {
				m.t.Fatal(err)
			}
			minute = m.now.Add(15 * time.Minute)
		}
		settled := m.now.Sub(start) > 24*time.Hour // by then everything had its first checks
		if !m.now.Before(use) {
			m.use(ctx, settled)
			use = every(30 * time.Second)
		}
		if !m.now.Before(look) {
			if settled {
				m.look()
			}
			look = every(2 * time.Second)
		}
		next := earliest(minute, hour, use, look)
		if m.now.Before(free) {
			m.now = earliest(next, free)
			continue
		}
		job, wait := m.p.Step()
		if len(job.Entries) == 0 {
			m.now = earliest(next, m.now.Add(wait))
			continue
		}
		m.check(&job, settled)
		free = m.now.Add(time.Second / budget)
	}
}

func earliest(first time.Time, others ...time.Time) time.Time {
	for _, t := range others {
		if t.Before(first) {
			first = t
		}
	}
	return first
}

// list gives the pool the two lists, as they are now.
func (m *month) list(ctx context.Context) {
	var all, good []proxy.Candidate
	for _, n := range m.nodes {
		c := proxy.Candidate{Endpoint: n.ep}
		all = append(all, c)
		if n.good {
			good = append(good, c)
		}
	}
	m.add(ctx, "good", good)
	m.add(ctx, "large", all)
	kept := m.ever[:0]
	for _, n := range m.ever {
		if _, ok := m.p.Find(n.ep); ok {
			kept = append(kept, n)
		} else {
			delete(m.once, n)
		}
	}
	m.ever = kept
}

// add gives the pool one list.
func (m *month) add(ctx context.Context, name string, found []proxy.Candidate) {
	if _, err := m.p.Add(ctx, name, found); err != nil {
		m.t.Fatal(err)
	}
}

// check settles a job and, for comparison, tries any that is listed.
func (m *month) check(job *proxy.Job, settled bool) {
	ep := job.Entries[0].Endpoint
	n := m.by[ep]
	ok, void := false, false
	if n != nil {
		ok, void = m.nature.checks(n)
	}
	if void {
		m.p.Report(proxy.Verdict{Job: *job})
		return
	}
	class := proxy.Timeout
	if ok {
		class = proxy.OK
	}
	if settled {
		m.checks++
		if ok {
			m.passes++
			if job.Entries[0].State != proxy.Live {
				m.found++
			}
		}
		m.blind++
		if m.works(m.nodes[m.rng.IntN(len(m.nodes))]) {
			m.blindOK++
		}
	}
	v := verdict(*job, class)
	v.Outcomes[0].At = m.now
	if ok {
		v.Outcomes[0].Phases.FirstByte = n.took
	}
	m.p.Report(v)
	if ok && !m.once[n] {
		m.once[n] = true
		m.ever = append(m.ever, n)
	}
}

// use is one request through the pool.
func (m *month) use(ctx context.Context, settled bool) {
	l, err := m.p.Pick(ctx, proxy.Want{})
	if err != nil {
		if settled {
			m.served++
		}
		return
	}
	defer l.Close()
	n := m.by[l.Entry.Endpoint]
	ok := n != nil && m.works(n)
	o := proxy.Outcome{Class: proxy.Timeout, Stage: proxy.StageConnect, Phases: proxy.Phases{Connect: 5 * time.Second}}
	if ok {
		o = proxy.Outcome{Class: proxy.OK, Stage: proxy.StageBody, Phases: proxy.Phases{FirstByte: n.took}}
	}
	l.Report(o)
	if settled {
		m.served++
		if ok {
			m.servedOK++
		}
	}
}

// look compares the score of one that once lived with a use at this moment.
func (m *month) look() {
	if len(m.ever) == 0 {
		return
	}
	for try := range 12 { // the first is any; then one that is live
		n := m.ever[m.rng.IntN(len(m.ever))]
		e, known := m.p.Find(n.ep)
		if !known || try > 0 && e.State != proxy.Live {
			continue
		}
		ok := m.works(n)
		if try > 0 {
			m.moments[1].add(e.Score, ok)
			return
		}
		m.moments[0].add(e.Score, ok)
		m.anyUse++
		if ok {
			m.anyOK++
		}
	}
}

// calibrated demands that in each range of scores with enough uses, as many
// worked as were foretold, but for chance.
func (m *month) calibrated(name string, r *reliability) {
	for i, b := range r {
		if b.n < 2000 {
			continue
		}
		want, got := b.sum/float64(b.n), float64(b.ok)/float64(b.n)
		if se := math.Sqrt(got * (1 - got) / float64(b.n)); math.Abs(want-got) > .05+2*se {
			m.t.Errorf("%s, scores from %.1f: %.3f of %d uses worked, want %.3f", name, float64(i)/10, got, b.n, want)
		}
	}
}

// demand is what must be true of a run.
func (m *month) demand() {
	share := func(ok, n int) float64 { return float64(ok) / float64(max(n, 1)) }
	served, once := share(m.servedOK, m.served), share(m.anyOK, m.anyUse)
	ours, blind := 1/share(m.passes, m.checks), 1/share(m.blindOK, m.blind)
	m.t.Logf("%d checks: %.1f per live one found, %.1f per one that was not known to be live; going round all that is listed: %.1f", m.checks, ours, 1/share(m.found, m.checks), blind)
	m.t.Logf("served by score: %.3f of %d; any that once lived: %.3f", served, m.served, once)
	m.t.Logf("any that once lived:\n%slive ones:\n%s", &m.moments[0], &m.moments[1])
	if served < .93 && !m.quick {
		m.t.Errorf("%.3f of %d uses by score worked, want .93", served, m.served)
	}
	if once > .5 {
		m.t.Errorf("%.3f of the uses of any that once lived worked, want at most .5: the model is too kind", once)
	}
	if blind < 5*ours {
		m.t.Errorf("%.1f checks per live one found, and %.1f by going round: want a fifth", ours, blind)
	}
	m.calibrated("any that once lived", &m.moments[0])
	m.calibrated("live ones", &m.moments[1])
	var traffic reliability
	for i, c := range m.p.Stats().Calibration {
		traffic[i].n, traffic[i].ok, traffic[i].sum = c.Uses, c.OK, float64(c.Uses)*(c.Low+c.High)/2
	}
	m.t.Logf("uses by traffic, with the middle of the range as what was predicted:\n%s", &traffic)
}

// TestMonth is a week, or as many days as FREEWAY_SIM_DAYS says. FREEWAY_SIM_NTH
// is which part of the population there is; FREEWAY_SIM_SEED another world. With a
// third of the population two of four worlds miss a demand: there are so few good
// ones that the same few are used again and again, and chance is larger than the
// standard error of independent uses says. So the week is of all of it.
func TestMonth(t *testing.T) {
	t.Parallel()
	days, nth, seed := setting(t, "DAYS", 7), setting(t, "NTH", 1), setting(t, "SEED", 1)
	if raceDetector { // ten times as slow, and there is only one goroutine
		days, nth = 2, 10
	}
	m := &month{nature: newNature(uint64(seed), time.Unix(1_800_000_000, 0), nth), t: t, once: map[*node]bool{}, quick: raceDetector}
	m.p = open(t, pool.Config{}, pool.Env{Now: func() time.Time { return m.now }, Rand: m.rng.Uint64})
	m.run(time.Duration(days) * 24 * time.Hour)
	m.demand()
}

// setting reads a number that the environment may give.
func setting(t *testing.T, name string, standard int) int {
	s := os.Getenv("FREEWAY_SIM_" + name)
	if s == "" {
		return standard
	}
	n, err := strconv.Atoi(s)
	if err != nil || n < 1 {
		t.Fatalf("FREEWAY_SIM_%s=%q is not a number from 1", name, s)
	}
	return n
}
