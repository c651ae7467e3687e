package main

import (
	"strings"
	"testing"
	"time"

	"freeway/proxy"
)

func TestPace(t *testing.T) {
	t.Parallel()
	began := time.Unix(1000, 0)
	p := pace{total: 1000, began: began}
	p.look(began)
	if got, want := p.line(0, began), "0 of 1000 checked, 0 live, 0 a second, 0s"; got != want {
		t.Errorf("line at the start = %q, want %q", got, want)
	}
	p.done = 500 // the refused, at once
	p.look(began.Add(time.Second))
	for i := range 100 { // then ten a second
		p.done++
		p.look(began.Add(time.Second + time.Duration(i+1)*100*time.Millisecond))
	}
	now := began.Add(11 * time.Second)
	if got, want := p.line(7, now), "600 of 1000 checked, 7 live, 10 a second, 11s, about 40s left"; got != want {
		t.Errorf("line after the refused = %q, want %q", got, want)
	}
	p.about = "about "
	if got, want := p.line(7, now), "600 of about 1000 checked, 7 live, 10 a second, 11s, about 40s left"; got != want {
		t.Errorf("line with an estimate = %q, want %q", got, want)
	}
	p.about = moreThan
	if got, want := p.line(7, now), "600 of more than 1000 checked, 7 live, 10 a second, 11s"; got != want {
		t.Errorf("line without a total = %q, want %q", got, want)
	}
	p.done, p.about = 1000, ""
	if got := p.line(7, now); strings.Contains(got, "left") {
		t.Errorf("line at the end = %q, want nothing left", got)
	}
}

func TestSummary(t *testing.T) {
	t.Parallel()
	var s summary
	if got := s.text(); got != "" {
		t.Errorf("summary of nothing = %q, want none", got)
	}
	for i, d := range []time.Duration{100 * time.Millisecond, 300 * time.Millisecond, 300 * time.Millisecond, time.Minute} {
		e := proxy.Entry{Endpoint: proxy.Endpoint{Protocol: proxy.HTTP}, Latency: d}
		if i > 0 {
			e.Traits.Anonymity = proxy.Elite
		}
		s.live(&e)
	}
	s.verdict(&proxy.Verdict{Outcomes: []proxy.Outcome{
		{Stage: proxy.StageConnect, Class: proxy.Refused}, {Stage: proxy.StageConnect, Class: proxy.Refused},
		{Stage: proxy.StageHandshake, Class: proxy.Timeout}, {Stage: proxy.StageVerify, Class: proxy.OK},
	}})
	want := `protocols  http 4
anonymity  elite 3, unknown 1
failures   connect refused 2, handshake timeout 1
latency    < 100ms      1 ####################
latency    < 500ms      2 ########################################
latency    > 10s        1 ####################
`
	if got := s.text(); got != want {
		t.Errorf("summary =\n%s\nwant\n%s", got, want)
	}
}
