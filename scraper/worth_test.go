package scraper_test

import (
	"math"
	"testing"

	"pgregory.net/rapid"

	"freeway/proxy"
	"freeway/scraper"
)

// set makes n candidates, beginning with the first-th address.
func set(first, n int) []proxy.Candidate {
	out := make([]proxy.Candidate, 0, n)
	for i := first; i < first+n; i++ {
		ep, _ := proxy.NewEndpoint(proxy.HTTP, "5."+itoa(i>>16&255)+"."+itoa(i>>8&255)+"."+itoa(i&255), 8080, "")
		out = append(out, proxy.Candidate{Endpoint: ep})
	}
	return out
}

func itoa(n int) string {
	const digits = "0123456789"
	if n < 10 {
		return digits[n : n+1]
	}
	return itoa(n/10) + digits[n%10:n%10+1]
}

func TestSketch(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		a, b []proxy.Candidate
		want float64 // share of the larger set
		near float64
	}{
		{"the same", set(0, 5000), set(0, 5000), 1, 0},
		{"small and the same", set(0, 100), set(0, 100), 1, 0},
		{"small and exact", set(0, 100), set(10, 100), .9, .001},
		{"95 of 100", set(0, 10000), set(500, 10000), .95, .04},
		{"half", set(0, 10000), set(5000, 10000), .5, .08},
		{"apart", set(0, 10000), set(20000, 10000), 0, .001},
		{"a tenth of it", set(0, 1000), set(0, 10000), .1, .04},
		{"too small", set(0, 5), set(0, 5), 0, 0},
		{"empty", nil, nil, 0, 0},
	} {
		a, b := scraper.NewSketch(c.a), scraper.NewSketch(c.b)
		for _, got := range []float64{a.Alike(b), b.Alike(a), scraper.ReadSketch(a.Bytes()).Alike(b)} {
			if math.Abs(got-c.want) > c.near {
				t.Errorf("%s: alike = %.3f, want %.3f ± %.3f", c.name, got, c.want, c.near)
			}
		}
	}
}

func TestSketchLaws(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		a := scraper.NewSketch(set(rapid.IntRange(0, 3000).Draw(t, "from"), rapid.IntRange(0, 3000).Draw(t, "size")))
		b := scraper.NewSketch(set(rapid.IntRange(0, 3000).Draw(t, "from2"), rapid.IntRange(0, 3000).Draw(t, "size2")))
		if got := a.Alike(b); got != b.Alike(a) || got < 0 || got > 1 {
			t.Errorf("alike = %v and %v, want the same both ways, 0 to 1", got, b.Alike(a))
		}
	})
}

func TestReadSketchRefusesGarbage(t *testing.T) {
	t.Parallel()
	good := scraper.NewSketch(set(0, 100))
	for name, b := range map[string][]byte{"nil": nil, "cut": good.Bytes()[:50], "text": []byte("hello world"), "size": {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}} {
		if got := scraper.ReadSketch(b).Alike(good); got != 0 {
			t.Errorf("%s: alike = %v, want 0", name, got)
		}
	}
}

func TestPace(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		worth  proxy.Worth
		mirror bool
		want   any
	}{
		{"unknown", proxy.Worth{}, false, scraper.PaceNormal},
		{"mirror", proxy.Worth{Checked: 1000, EverLive: 500}, true, scraper.PaceSlow},
		{"not enough checked", proxy.Worth{Checked: 100}, false, scraper.PaceNormal},
		{"worthless", proxy.Worth{Checked: 1000, EverLive: 1}, false, scraper.PaceSlow},
		{"median", proxy.Worth{Checked: 1000, EverLive: 17}, false, scraper.PaceNormal},
		{"good", proxy.Worth{Checked: 1000, EverLive: 100}, false, scraper.PaceFast},
		{"alone with live ones", proxy.Worth{Checked: 1000, EverLive: 17, OnlyLive: 5}, false, scraper.PaceFast},
		{"alone with few", proxy.Worth{Checked: 1000, EverLive: 17, OnlyLive: 4}, false, scraper.PaceNormal},
		{"little, but nobody else has it", proxy.Worth{Checked: 1000, EverLive: 1, OnlyLive: 1}, false, scraper.PaceNormal},
		{"mirror with some of its own", proxy.Worth{Checked: 1000, EverLive: 100, OnlyLive: 5}, true, scraper.PaceSlow},
	} {
		if got := any(scraper.PaceOf(c.worth, c.mirror)); got != c.want {
			t.Errorf("%s: paceOf(%+v, %v) = %v, want %v", c.name, c.worth, c.mirror, got, c.want)
		}
	}
}

func TestUsual(t *testing.T) {
	t.Parallel()
	usual := 0
	for range 20 {
		usual = scraper.LearnUsual(usual, 400)
	}
	if usual != 400 {
		t.Errorf("usual of a steady source = %d, want 400", usual)
	}
	for _, c := range []struct {
		found, usual int
		want         bool
	}{{0, 0, false}, {0, 19, false}, {0, 20, true}, {1, 20, false}, {4, 100, true}, {5, 100, false}} {
		if got := scraper.IsAlarm(c.found, c.usual); got != c.want {
			t.Errorf("isAlarm(%d, %d) = %v, want %v", c.found, c.usual, got, c.want)
		}
	}
}
