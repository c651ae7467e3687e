package web

import (
	"testing"
	"time"
)

// A series stays small, keeps its ends and forgets what is over a day old.
func TestSeries(t *testing.T) {
	t.Parallel()
	s := series[int]{most: 60, every: firstInterval}
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for i := range 40_000 { // more than two days
		s.add(now, i)
		if len(s.times) > 60 {
			t.Fatalf("%d points, want at most 60", len(s.times))
		}
		now = now.Add(firstInterval)
	}
	n := len(s.times)
	if age := now.Sub(s.times[0]); n < 20 || age > historyAge+time.Hour || age < historyAge/2 {
		t.Errorf("%d points over %v, want about a day", n, age)
	}
	for i := 1; i < n; i++ {
		if !s.times[i].After(s.times[i-1]) || s.values[i] <= s.values[i-1] {
			t.Fatalf("point %d is out of order", i)
		}
	}
	if now.Sub(s.times[n-1]) > 2*s.every {
		t.Errorf("the latest point is %v old", now.Sub(s.times[n-1]))
	}
}

func TestSpark(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		in   []int
		want string
	}{{nil, ""}, {[]int{3}, ""}, {[]int{0, 0}, "0.0,19.0 100.0,19.0"}, {[]int{0, 5, 10}, "0.0,19.0 50.0,10.0 100.0,1.0"}} {
		if got := spark(tt.in); got != tt.want {
			t.Errorf("spark(%v) = %q, want %q", tt.in, got, tt.want)
		}
	}
}
