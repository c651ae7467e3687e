package checker_test

import (
	"os"
	"slices"
	"testing"
	"time"

	"freeway/checker"
	"freeway/dial"
	"freeway/internal/loopback"
	"freeway/lab"
	"freeway/proxy"
)

// worldMix is every behaviour that does not depend on the hour: 15 % work and
// are honest, the rest is spread over all the others.
func worldMix(latency time.Duration) []lab.Share {
	var mix []lab.Share
	honest := []lab.Behaviour{lab.Healthy, lab.Transparent, lab.Anonymous, lab.RotatingExit, lab.Compress, lab.Unzip, lab.Marked, lab.Only443}
	for b := lab.Healthy; b <= lab.Marked; b++ {
		s := lab.Share{Behaviour: b, Latency: latency, Weight: 85. / 23, OtherExit: 0.28}
		switch {
		case slices.Contains(honest, b):
			s.Weight = 15. / float64(len(honest))
			if b == lab.Only443 { // by SOCKS it does not reach the judges, whose ports are others
				s.Protocols = []proxy.Protocol{proxy.HTTP, proxy.HTTPS}
			}
		case b == lab.Slow:
			s.Latency = 0
		case b >= lab.Stable && b <= lab.OneShot, b == lab.Flaky:
			continue
		}
		mix = append(mix, s)
	}
	return mix
}

// found is how the verdicts on a world compare with the truth about it.
type found struct {
	right, wrong, missed int // live ones: found, found though they are not, not found
	cheats               int // of those wrong, tampering or intercepting
	graded, misgraded    int // of those right: anonymity or exit as in truth, or not
}

// explore checks a world with keyed judges and compares. Those of a host whose
// truth depends on luck are left out.
func explore(tb testing.TB, l *lab.Lab, limit time.Duration) found {
	tb.Helper()
	key := writeFile(tb, "key", string(l.JudgeKey()))
	q := newQueue()
	c, err := checker.Open(checker.Config{Concurrency: 500, Timeout: limit, ConnectTimeout: limit,
		Judges: []checker.Judge{{URL: l.JudgeHTTP(), KeyFile: key}, {URL: l.JudgeHTTPS(), KeyFile: key}}},
		checker.Env{Queue: q, Roots: l.Roots(), Dialer: dial.New(dial.Config{}, dial.Env{Roots: l.Roots(), Policy: labPolicy, Control: loopback.Control})})
	if err != nil {
		tb.Fatal(err)
	}
	truth := map[proxy.Endpoint]lab.Truth{}
	for _, tr := range l.Truth() {
		truth[tr.Endpoint] = tr
		claim := tr.Endpoint
		if claim.Protocol == proxy.HTTPS {
			claim.Protocol = proxy.HTTP // as lists have it, the other way round as well
		}
		q.jobs = append(q.jobs, jobOf(claim, guess))
	}
	if err := c.Run(tb.Context()); err != nil {
		tb.Fatal(err)
	}
	var f found
	live := map[proxy.Endpoint]bool{}
	for _, v := range q.all() {
		for _, o := range v.Outcomes {
			tr := truth[o.Endpoint]
			if o.Class != proxy.OK || tr.Maybe && tr.Tampers == "" {
				continue
			}
			live[o.Endpoint] = true
			f.count(tb, o, tr, v.Notes)
		}
	}
	for ep, tr := range truth {
		if tr.Up && tr.Tampers == "" && !live[ep] {
			f.missed++
			tb.Logf("missed: %s, %s", ep, tr.Behaviour)
		}
	}
	return f
}

// count compares one that passed with the truth.
func (f *found) count(tb testing.TB, o proxy.Outcome, tr lab.Truth, notes []string) {
	if plain := o.Learned.Able(o.Endpoint.Protocol, proxy.NeedForward); tr.Tampers != "" && tr.Tampers != "tls" && !plain {
		return // never used for plain HTTP, and in tunnels it does no harm
	}
	if !tr.Up || tr.Tampers != "" {
		f.wrong++
		if tr.Tampers != "" {
			f.cheats++
		}
		tb.Logf("wrong: %s passes, which is %s; notes %q", o.Endpoint, tr.Behaviour, notes)
		return
	}
	f.right++
	grade := o.Learned.Anonymity
	if slices.Contains(tr.Exits, o.Learned.ExitIP) && (grade == tr.Anonymity || grade == proxy.AnonymityUnknown && !tr.Forward) {
		f.graded++
		return
	}
	f.misgraded++
	tb.Logf("%s is %v from %v, found %v from %v", o.Endpoint, tr.Anonymity, tr.Exits, grade, o.Learned.ExitIP)
}

// check compares with what is demanded: precision, recall, cheats, grades.
func (f found) check(tb testing.TB) {
	tb.Helper()
	tb.Logf("%+v", f)
	if n := f.right + f.wrong; n == 0 || float64(f.right) < 0.995*float64(n) {
		tb.Errorf("precision %d of %d, want 0.995", f.right, n)
	}
	if n := f.right + f.missed; float64(f.right) < 0.99*float64(n) {
		tb.Errorf("recall %d of %d, want 0.99", f.right, n)
	}
	if f.cheats > 0 {
		tb.Errorf("%d that tamper passed, want none", f.cheats)
	}
	if float64(f.graded) < 0.99*float64(f.right) {
		tb.Errorf("anonymity and exit right for %d of %d, want 0.99", f.graded, f.right)
	}
}

// TestWorld is a world of 400, of 2,000 with a median latency of 300 ms when
// FREEWAY_WORLD is "full".
func TestWorld(t *testing.T) {
	t.Parallel()
	n, latency := 400, 20*time.Millisecond
	if os.Getenv("FREEWAY_WORLD") == "full" {
		n, latency = 2000, 300*time.Millisecond
	}
	l := start(t, lab.Config{Seed: 7, Upstreams: n, AllowLoopback: true, Mix: worldMix(latency)})
	explore(t, l, 7*time.Second).check(t)
}

// BenchmarkWorld is TestWorld in full: 2,000 with a median latency of 300 ms.
func BenchmarkWorld(b *testing.B) {
	l, err := lab.Start(b.Context(), lab.Config{Seed: 7, Upstreams: 2000, AllowLoopback: true, Mix: worldMix(300 * time.Millisecond)})
	if err != nil {
		b.Fatal(err)
	}
	defer l.Close()
	for b.Loop() {
		explore(b, l, 10*time.Second).check(b)
	}
}
