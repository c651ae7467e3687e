package checker_test

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"freeway/checker"
	"freeway/internal/judge"
	"freeway/lab"
	"freeway/proxy"
)

func TestWhatIsDoneToPages(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	for _, tt := range []struct {
		as      lab.Behaviour
		class   proxy.Class
		tampers string   // the beginning of the evidence
		note    []string // words of one note
	}{
		{lab.Healthy, proxy.OK, "", nil},
		{lab.Inject, proxy.Tampered, `content: canary.html, compressed: injected 48 bytes at byte `, []string{"canary", "ads.lab.test"}},
		{lab.Cookies, proxy.Tampered, `headers: Set-Cookie added: "track=1; Path=/"`, []string{"cookie was added"}},
		{lab.Tamper, proxy.Tampered, "content: ", nil},
		{lab.CutLong, proxy.Truncated, "", []string{"canary: body: truncated", "canary.html"}},
		{lab.Compress, proxy.OK, "", []string{"canary: canary.html: compressed, though that was not asked for"}},
		{lab.Unzip, proxy.OK, "", []string{"canary: canary.html, compressed: compression was taken off"}},
		{lab.Marked, proxy.OK, "", []string{"headers added on the way back: Via, X-Cache"}},
	} {
		for _, p := range []proxy.Protocol{proxy.HTTP, proxy.HTTPS, proxy.SOCKS4, proxy.SOCKS5} {
			t.Run(tt.as.String()+" "+p.String(), func(t *testing.T) {
				t.Parallel()
				ep := b.add(t, lab.Upstream{Protocol: p, Behaviour: tt.as})
				v, o := b.one(t, ep)
				if o.Class != tt.class {
					t.Fatalf("outcome = %v %v, want %v; notes %q", o.Stage, o.Class, tt.class, v.Notes)
				}
				evidence := ""
				if o.Learned != nil {
					evidence = o.Learned.Tampers
				}
				if !strings.HasPrefix(evidence, tt.tampers) || (evidence != "") != (tt.tampers != "") || len(evidence) > 200 {
					t.Errorf("evidence %q, want it to begin with %q", evidence, tt.tampers)
				}
				if !anyNote(v, tt.note...) {
					t.Errorf("notes %q, want one with %q", v.Notes, tt.note)
				}
				if tt.as == lab.Healthy && (anyNote(v, "canary") || anyNote(v, "headers")) {
					t.Errorf("notes %q about a proxy that changes nothing", v.Notes)
				}
			})
		}
	}
}

// TestCanariesAreRare: at the first pass and at every tenth.
func TestCanariesAreRare(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	ep := b.add(t, lab.Upstream{})
	for n := range uint32(25) {
		before := b.dialled(ep)
		b.one(t, ep, func(e *proxy.Entry) { e.Checks.OK, e.Traits.TunnelAny = n, proxy.Yes })
		want := 2
		if n%10 == 0 {
			want += canaries
		}
		if got := b.dialled(ep) - before; got != want {
			t.Errorf("after %d passes a check took %d connections, want %d", n, got, want)
		}
	}
}

// meddledWith is an own judge with something before it that does f to its canary pages.
func meddledWith(f func(w http.ResponseWriter, r *http.Request, page http.Handler)) http.HandlerFunc {
	h := judge.Handler(judge.Options{})
	return func(w http.ResponseWriter, r *http.Request) {
		if strings.Contains(r.URL.Path, "canary") {
			f(w, r, h)
			return
		}
		h.ServeHTTP(w, r)
	}
}

// TestJudgeWithoutCanaries: what does not come right directly is no measure for others.
func TestJudgeWithoutCanaries(t *testing.T) {
	t.Parallel()
	for name, f := range map[string]func(http.ResponseWriter, *http.Request, http.Handler){
		"an older one": func(w http.ResponseWriter, r *http.Request, _ http.Handler) { http.NotFound(w, r) },
		"a front end": func(w http.ResponseWriter, _ *http.Request, _ http.Handler) {
			io.WriteString(w, judge.Canaries()[0].Body+"<!-- cdn -->")
		},
		"no compression": func(w http.ResponseWriter, r *http.Request, h http.Handler) {
			r.Header.Del("Accept-Encoding")
			h.ServeHTTP(w, r)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			j := newJudge(t, false, meddledWith(f))
			b := newBench(t, judges(j.URL+"/sub/page"))
			ep := b.add(t, lab.Upstream{})
			v, o := b.one(t, ep)
			if s := b.Status().Judges[0]; o.Class != proxy.OK || b.dialled(ep) != 1 || s.Canary || s.CanaryError == "" || !s.Up {
				t.Errorf("outcome %v after %d connections, judge %+v, want a pass without the pages, and a reason; notes %q", o.Class, b.dialled(ep), s, v.Notes)
			}
		})
	}
}

// TestNobodyIsAccusedWhenThePagesChange: a front end that begins to change the
// judge's pages looks like proxies that do.
func TestNobodyIsAccusedWhenThePagesChange(t *testing.T) {
	t.Parallel()
	j := newJudge(t, false, nil)
	b := newBench(t, judges(j.URL))
	ep := b.add(t, lab.Upstream{})
	b.one(t, ep)
	for name, f := range map[string]func(http.ResponseWriter, *http.Request, http.Handler){
		"content": func(w http.ResponseWriter, _ *http.Request, _ http.Handler) {
			io.WriteString(w, judge.Canaries()[0].Body+"<!-- cdn -->")
		},
		"cookie": func(w http.ResponseWriter, r *http.Request, h http.Handler) {
			http.SetCookie(w, &http.Cookie{Name: "cdn", Value: "1"})
			h.ServeHTTP(w, r)
		},
	} {
		j.set(meddledWith(f))
		if v := b.Check(t.Context(), jobOf(ep)); len(v.Outcomes) != 0 {
			t.Errorf("%s: a proxy is accused of what the judge does: %+v", name, v.Outcomes)
		}
		j.set(nil)
		b = newBench(t, judges(j.URL))
		ep = b.add(t, lab.Upstream{})
		b.one(t, ep)
	}
}

// TestCookiesOfPublicJudges: a CDN sets cookies for those it suspects, so nobody is accused.
func TestCookiesOfPublicJudges(t *testing.T) {
	t.Parallel()
	l := start(t, lab.Config{})
	b := benchOver(t, l, publicJudges(l, "http://judge.lab.test/get"))
	v, o := b.one(t, b.add(t, lab.Upstream{Behaviour: lab.Cookies}))
	if o.Class != proxy.OK || !anyNote(v, "headers added on the way back: Set-Cookie") {
		t.Errorf("outcome = %v, want a pass with a note; notes %q", o.Class, v.Notes)
	}
}

// TestForgerOfUnsignedAnswers: without a key its exit is believed over plain HTTP
// alone; what a verified tunnel shows counts more, and the difference is noted.
func TestForgerOfUnsignedAnswers(t *testing.T) {
	t.Parallel()
	l := start(t, lab.Config{AllowLoopback: true})
	unsigned, secure := newJudge(t, false, nil), newJudge(t, true, nil)
	open := benchOver(t, l, judges(unsigned.URL, secure.URL), trusting(secure))
	signed, keyed := benchOver(t, l), benchOver(t, l, func(c *checker.Config, _ *checker.Env) {
		file := writeFile(t, "key", string(l.JudgeKey()))
		for i := range c.Judges {
			c.Judges[i].KeyFile = file
		}
	})
	ep := open.add(t, lab.Upstream{Behaviour: lab.Forger})
	v, o := open.one(t, ep)
	if o.Class != proxy.OK || o.Learned.ExitIP != ep.Addr() || !anyNote(v, "several exits: "+ep.Host+" through the tunnel") {
		t.Errorf("without a key: %v, learned %+v, want the exit of the tunnel; notes %q", o.Class, o.Learned, v.Notes)
	}
	if v, o := signed.one(t, ep); o.Class != proxy.Tampered || !strings.Contains(o.Learned.Tampers, "signature") {
		t.Errorf("without a key, of a judge that signs: %v %+v, want it caught; notes %q", o.Class, o.Learned, v.Notes)
	}
	if v, o := keyed.one(t, ep); o.Class != proxy.Tampered || !strings.Contains(o.Learned.Tampers, "HMAC") {
		t.Errorf("with a key: %v %+v, want it caught; notes %q", o.Class, o.Learned, v.Notes)
	}
}

func TestRotatingExitsAreNoted(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	ep := b.add(t, lab.Upstream{Protocol: proxy.SOCKS5, Behaviour: lab.RotatingExit})
	inOne, over := false, false
	for range 20 {
		v, o := b.one(t, ep, passedOnce)
		inOne = inOne || anyNote(v, "several exits: ", "through the tunnel", "in plain HTTP")
		before := *o.Learned
		v, _ = b.one(t, ep, passedOnce, func(e *proxy.Entry) { e.Traits = before })
		over = over || anyNote(v, "several exits: ", "now, "+before.ExitIP.String()+" at an earlier check")
	}
	if !inOne || !over {
		t.Errorf("one of five exits at random: noted in one check %v, over checks %v, want both", inOne, over)
	}
	steady := b.add(t, lab.Upstream{})
	if v, _ := b.one(t, steady); anyNote(v, "several exits") {
		t.Errorf("notes %q of a proxy with one exit", v.Notes)
	}
}
