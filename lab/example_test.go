package lab_test

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"net/url"

	"freeway/lab"
)

// One good upstream and one that tampers, seen through a client.
func Example() {
	l, err := lab.Start(context.Background(), lab.Config{Seed: 1})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer l.Close()
	for _, as := range []lab.Behaviour{lab.Healthy, lab.Tamper} {
		ep, err := l.Add(lab.Upstream{Behaviour: as})
		if err != nil {
			fmt.Println(err)
			return
		}
		tr := &http.Transport{
			Proxy:           http.ProxyURL(&url.URL{Scheme: "http", Host: ep.Address()}),
			TLSClientConfig: &tls.Config{RootCAs: l.Roots()},
		}
		res, err := (&http.Client{Transport: tr}).Get(l.HTTPName() + "/bytes/1000?seed=x")
		if err != nil {
			fmt.Println(err)
			return
		}
		body, _ := io.ReadAll(res.Body)
		res.Body.Close()
		tr.CloseIdleConnections()
		fmt.Println(as, string(body) == string(lab.Bytes(1000, "x")))
	}
	fmt.Println("direct connections to the target:", l.DirectHits())
	// Output:
	// healthy true
	// tamper false
	// direct connections to the target: 0
}
