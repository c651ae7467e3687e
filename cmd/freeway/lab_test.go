package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"freeway/lab"
	"freeway/proxy"
)

// startLab runs a lab for a test.
func startLab(t testing.TB, cfg lab.Config) *lab.Lab {
	t.Helper()
	l, err := lab.Start(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Errorf("close the lab: %v", err)
		}
	})
	return l
}

// add opens an upstream in the lab.
func add(t testing.TB, l *lab.Lab, u lab.Upstream) proxy.Endpoint {
	t.Helper()
	ep, err := l.Add(u)
	if err != nil {
		t.Fatal(err)
	}
	return ep
}

// caFile writes the lab's CA into a file of the test.
func caFile(t testing.TB, l *lab.Lab) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(path, l.CAPEM(), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// scriptLab starts a lab for a script and says in variables where things are:
// ALL is a list file with one upstream of each kind, GOOD one with the working
// ones in the order of their URLs, JUDGE and JUDGES the judges, CA the authority.
func scriptLab(t *testing.T) func(ts *testscript.TestScript, neg bool, args []string) {
	return func(ts *testscript.TestScript, _ bool, _ []string) {
		l, err := lab.Start(t.Context(), lab.Config{})
		ts.Check(err)
		ts.Defer(func() { l.Close() })
		var good, all []string
		for _, u := range []lab.Upstream{
			{Protocol: proxy.HTTP}, {Protocol: proxy.SOCKS5}, {Protocol: proxy.SOCKS4}, {Protocol: proxy.HTTPS},
			{Protocol: proxy.HTTP, Behaviour: lab.Transparent}, {Behaviour: lab.Refused}, {Behaviour: lab.Silent}, {Behaviour: lab.Garbage},
			{Behaviour: lab.LoginPage}, {Behaviour: lab.Intercept}, {Protocol: proxy.SOCKS5, Behaviour: lab.Refused},
		} {
			ep, err := l.Add(u)
			ts.Check(err)
			all = append(all, ep.String())
			if u.Behaviour == lab.Healthy || u.Behaviour == lab.Transparent {
				good = append(good, ep.String())
			}
		}
		write := func(name string, lines []string) {
			ts.Check(os.WriteFile(ts.MkAbs(name), []byte(strings.Join(lines, "\n")+"\n"), 0o600))
		}
		write("all.txt", all)
		write("good.txt", good)
		var bare []string
		for _, u := range good {
			_, address, _ := strings.Cut(u, "://")
			bare = append(bare, address)
		}
		write("bare.txt", bare)
		ts.Check(os.WriteFile(ts.MkAbs("ca.pem"), l.CAPEM(), 0o600))
		ts.Setenv("JUDGE", l.JudgeHTTP())
		ts.Setenv("JUDGES", l.JudgeHTTPS())
		ts.Setenv("TARGET", l.HTTPTarget())
		ts.Setenv("LIST", l.ListURLs()[4])
	}
}

// eventually polls until ok holds; the deadline only ends a test that hangs.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(2 * time.Minute)
	for !ok() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("never happened: %s", what)
		}
	}
}
