package pool_test

import (
	"net/netip"
	"testing"

	"freeway/pool"
	"freeway/proxy"
)

// The place is that of the exit as it is now, by the table as it is now.
func TestPlaceFollowsTheExit(t *testing.T) {
	t.Parallel()
	table := map[string]string{"9.9.9.1": "DE", "9.9.9.2": "NL"}
	p := open(t, pool.Config{}, pool.Env{Geo: func(a netip.Addr) (string, uint32, string) { return table[a.String()], 0, "" }})
	c := candidate(t, "http://9.9.9.9:80")
	add(t, p, "list", []proxy.Candidate{c})
	for _, tt := range []struct{ name, exit, want string }{
		{"first", "9.9.9.1", "DE"}, {"another exit", "9.9.9.2", "NL"}, {"one that the table does not know", "9.9.9.3", ""}, {"back", "9.9.9.1", "DE"},
	} {
		p.CheckNow(c.Endpoint.ID())
		v := verdict(next(t, p), proxy.OK)
		v.Outcomes[0].Learned = &proxy.Traits{ExitIP: netip.MustParseAddr(tt.exit)}
		p.Report(v)
		if e, _ := p.Find(c.Endpoint); e.Traits.Country != tt.want {
			t.Errorf("%s: country %q, want %q", tt.name, e.Traits.Country, tt.want)
		}
	}
	table["9.9.9.1"] = "FR" // a new table
	p.CheckNow(c.Endpoint.ID())
	v := verdict(next(t, p), proxy.OK)
	v.Outcomes[0].Learned = &proxy.Traits{ExitIP: netip.MustParseAddr("9.9.9.1")}
	p.Report(v)
	if e, _ := p.Find(c.Endpoint); e.Traits.Country != "FR" {
		t.Errorf("after a new table: country %q, want FR", e.Traits.Country)
	}
}
