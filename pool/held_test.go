package pool_test

import (
	"testing"

	"freeway/pool"
	"freeway/proxy"
)

// Explain says which exit a session holds, and puts it first.
func TestExplainOfASession(t *testing.T) {
	t.Parallel()
	p, _ := livePool(t, pool.Config{}, pool.Env{}, 20)
	want := proxy.Want{Session: proxy.SessionKey{User: "bob", ID: "s1"}}
	if x := p.Explain(want); x.Held != nil {
		t.Errorf("before the first use: %+v, want none", x.Held)
	}
	lease, err := p.Pick(t.Context(), want)
	if err != nil {
		t.Fatal(err)
	}
	lease.Close()
	x := p.Explain(want)
	if x.Held == nil || x.Held.Endpoint != lease.Entry.Endpoint || len(x.Chosen) == 0 || x.Chosen[0].Endpoint != lease.Entry.Endpoint {
		t.Errorf("Explain = %+v, want the exit of %s first", x, lease.Entry.Endpoint)
	}
}
