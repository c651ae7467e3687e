package checker_test

import (
	"context"
	"fmt"
	"net/netip"

	"freeway/checker"
	"freeway/dial"
	"freeway/lab"
	"freeway/proxy"
)

// Check one proxy of a simulated proxy internet.
func Example() {
	ctx := context.Background()
	l, err := lab.Start(ctx, lab.Config{})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer l.Close()
	ep, err := l.Add(lab.Upstream{Protocol: proxy.SOCKS5})
	if err != nil {
		fmt.Println(err)
		return
	}
	policy := proxy.NewAddrPolicy(netip.MustParsePrefix("127.0.0.0/8"))
	c, err := checker.Open(
		checker.Config{Judges: []checker.Judge{{URL: l.JudgeHTTP()}, {URL: l.JudgeHTTPS()}}},
		checker.Env{Dialer: dial.New(dial.Config{}, dial.Env{Policy: policy}), Roots: l.Roots()})
	if err != nil {
		fmt.Println(err)
		return
	}
	// The list says http; the check finds out.
	claimed, _ := proxy.Parse("http://" + ep.Address())
	v := c.Check(ctx, proxy.Job{Host: ep.Host, Port: ep.Port, Entries: []proxy.Entry{{Endpoint: claimed}}})
	for _, o := range v.Outcomes {
		fmt.Println(o.Endpoint.Protocol, o.Class)
	}
	fmt.Println("found:", v.Found[0].Endpoint == ep, "exit:", v.Outcomes[1].Learned.ExitIP == ep.Addr())
	// Output:
	// http eof
	// socks5 ok
	// found: true exit: true
}
