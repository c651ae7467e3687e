package checker_test

import (
	"net/http"
	"strings"
	"testing"

	"freeway/checker"
	"freeway/internal/judge"
	"freeway/lab"
	"freeway/proxy"
)

// twoOperators are the lab's judges in httpbin's format under two names.
func twoOperators(l *lab.Lab) option {
	return publicJudges(l, "http://judge.lab.test/get", "https://judge.lab.test/get", "http://judge.other.test/get", "https://judge.other.test/get")
}

func TestTwoOperatorsMustAgree(t *testing.T) {
	t.Parallel()
	l := start(t, lab.Config{})
	b := benchOver(t, l, twoOperators(l))
	one := benchOver(t, l, publicJudges(l, "http://judge.lab.test/get", "https://judge.lab.test/get"))
	for _, tt := range []struct {
		name  string
		bench *bench
		up    lab.Upstream
		class proxy.Class
		dials int
		note  string
	}{
		{"tunnel and plain are two, and another port", b, lab.Upstream{}, proxy.OK, 3, "plain HTTP: seen as"},
		{"plain only", b, lab.Upstream{Behaviour: lab.ConnectNotAllowed}, proxy.OK, 3, "second operator: seen as"},
		{"an edge for some only", b, lab.Upstream{Behaviour: lab.OwnEdge}, proxy.Rejected, 3, "second operator: request: rejected"},
		{"an edge for some only, and nobody else to ask", one, lab.Upstream{Behaviour: lab.OwnEdge}, proxy.OK, 2, "only one operator"},
		{"an edge with a cache", b, lab.Upstream{Behaviour: lab.StaleEdge}, proxy.WrongContent, 3, "another question"},
		{"one operator", one, lab.Upstream{Protocol: proxy.SOCKS5}, proxy.OK, 2, "only one operator"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for range 2 { // the order of judges is random
				ep := tt.bench.add(t, tt.up)
				v, o := tt.bench.one(t, ep)
				edge := tt.class == proxy.Rejected && (o.Class == proxy.Rejected || o.Class == proxy.PortDenied)
				if o.Class != tt.class && !edge {
					t.Fatalf("outcome = %v %v, want %v; notes %q", o.Stage, o.Class, tt.class, v.Notes)
				}
				if n := tt.bench.dialled(ep); n > tt.dials {
					t.Errorf("%d connections, want at most %d; notes %q", n, tt.dials, v.Notes)
				}
				if tt.class == proxy.OK && !anyNote(v, tt.note) {
					t.Errorf("notes %q, want %q", v.Notes, tt.note)
				}
				if tt.class != proxy.OK && o.Learned != nil && (o.Learned.Forward == proxy.Yes || o.Learned.ExitIP.IsValid()) {
					t.Errorf("learned %+v of one that nobody else has seen", o.Learned)
				}
			}
		})
	}
	if s, s1 := b.Status(), one.Status(); s.Quorum != "two of 2 operators" || !strings.HasPrefix(s1.Quorum, "one operator alone") {
		t.Errorf("quorum %q and %q, want two operators and one", s.Quorum, s1.Quorum)
	}
}

// TestSecondOperatorCostsNothingOnceLive: a recheck asks no more than before.
func TestSecondOperatorCostsNothingOnceLive(t *testing.T) {
	t.Parallel()
	l := start(t, lab.Config{})
	b := benchOver(t, l, twoOperators(l))
	ep := b.add(t, lab.Upstream{Behaviour: lab.ConnectNotAllowed})
	b.one(t, ep)
	before := b.dialled(ep)
	v, o := b.one(t, ep, func(e *proxy.Entry) { e.State, e.Traits = proxy.Live, proxy.Traits{Forward: proxy.Yes} })
	if o.Class != proxy.OK || b.dialled(ep)-before != 2 || anyNote(v, "second operator") {
		t.Errorf("outcome %v after %d connections, want a pass after 2; notes %q", o.Class, b.dialled(ep)-before, v.Notes)
	}
}

// TestKeyedJudgeIsEnough: its answers cannot be forged, so nobody else is asked.
func TestKeyedJudgeIsEnough(t *testing.T) {
	t.Parallel()
	const key = "0123456789abcdef-key"
	signed := newJudge(t, false, judge.Handler(judge.Options{Key: []byte(key)}).ServeHTTP)
	other := newJudge(t, false, nil)
	elsewhere := strings.Replace(other.URL, "127.0.0.1", "localhost", 1)
	b := newBench(t, func(c *checker.Config, _ *checker.Env) {
		c.Judges = []checker.Judge{{URL: signed.URL, KeyFile: writeFile(t, "key", key)}, {URL: elsewhere}}
	})
	for range 8 { // the order of judges is random
		ep := b.add(t, lab.Upstream{})
		v, o := b.one(t, ep, passedOnce)
		if second := anyNote(v, "second operator"); o.Class != proxy.OK || anyNote(v, "only one") || !second && b.dialled(ep) != 1 || second && b.dialled(ep) != 2 {
			t.Errorf("outcome %v after %d connections; notes %q", o.Class, b.dialled(ep), v.Notes)
		}
	}
	if q := b.Status().Quorum; !strings.HasPrefix(q, "a judge with a key") {
		t.Errorf("quorum %q, want the key to count", q)
	}
}

// TestSecondOperatorDown: when it fails directly as well, the failure says nothing.
func TestSecondOperatorDown(t *testing.T) {
	t.Parallel()
	first, second := newJudge(t, false, nil), newJudge(t, false, nil)
	b := newBench(t, judges(first.URL, strings.Replace(second.URL, "127.0.0.1", "localhost", 1)))
	b.one(t, b.add(t, lab.Upstream{}))
	second.set(func(w http.ResponseWriter, r *http.Request) { http.Error(w, "gone", http.StatusNotFound) })
	voided := false
	for range 8 { // until the one that is up was asked first
		v := b.Check(t.Context(), jobOf(b.add(t, lab.Upstream{})))
		if len(v.Outcomes) == 0 {
			voided = true
		} else if v.Outcomes[0].Class != proxy.OK {
			t.Errorf("judged %v by a judge that is down; notes %q", v.Outcomes[0].Class, v.Notes)
		}
	}
	if !voided {
		t.Error("no check noticed the outage")
	}
}
