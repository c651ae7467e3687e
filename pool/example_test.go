package pool_test

import (
	"context"
	"errors"
	"fmt"
	"io"

	"freeway/pool"
	"freeway/proxy"
)

// A list comes in, a checker judges it, and what works is handed out.
func Example() {
	ctx := context.Background()
	p, err := pool.Open(ctx, pool.Config{Once: true}, pool.Env{})
	if err != nil {
		fmt.Println(err)
		return
	}
	var found []proxy.Candidate
	for _, s := range []string{"http://1.2.3.4:8080", "socks5://5.6.7.8:1080", "http://127.0.0.1:80"} {
		ep, _ := proxy.Parse(s)
		found = append(found, proxy.Candidate{Endpoint: ep})
	}
	yield, err := p.Add(ctx, "my list", found)
	fmt.Println(yield.New, yield.Refused, err)

	for {
		job, err := p.Next(ctx)
		if errors.Is(err, io.EOF) {
			break
		}
		v := proxy.Verdict{Job: job}
		for _, e := range job.Entries {
			o := proxy.Outcome{Endpoint: e.Endpoint, Stage: proxy.StageConnect, Class: proxy.Refused, Origin: proxy.FromCheck}
			if e.Endpoint.Protocol == proxy.SOCKS5 {
				o.Class = proxy.OK
			}
			v.Outcomes = append(v.Outcomes, o)
		}
		p.Report(v)
	}

	lease, err := p.Pick(ctx, proxy.Want{})
	fmt.Println(lease.Entry.Endpoint, err)
	lease.Report(proxy.Outcome{Class: proxy.OK, Stage: proxy.StageBody})
	lease.Close()
	// Output:
	// 2 map[address not allowed:1] <nil>
	// socks5://5.6.7.8:1080 <nil>
}
