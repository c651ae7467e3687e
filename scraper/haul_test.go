package scraper_test

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"freeway/scraper"
)

// threat 56: all entries in one network.
func TestOneNetworkCannotFloodASource(t *testing.T) {
	t.Parallel()
	url := serve(t, func(w http.ResponseWriter, r *http.Request) {
		var b strings.Builder
		for port := 1; port <= 65535; port++ {
			fmt.Fprintf(&b, "5.5.5.5:%d\n", port)
		}
		io.WriteString(w, b.String()+"[2606:4700::1]:80\n"+entries(100_000, 10))
	})
	r := open(t, scraper.Config{}, list(scraper.Source{Name: "a", URL: url}))
	res, err := r.once(t, "a")
	if err != nil || res.Candidates != 20_011 || res.Refused["over the quota of one network"] != 45_535 {
		t.Errorf("RunNow() = %d candidates, refused %v, %v, want 20011", res.Candidates, res.Refused, err)
	}
}

func TestReasonKind(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"10.0.0.1 is not public: private (RFC 1918)": "not public: private (RFC 1918)",
		"::1 is not public: outside global unicast":  "not public: outside global unicast",
		"localhost. is this machine":                 "this machine",
		"the port is out of range":                   "the port is out of range",
		"another scheme":                             "another scheme",
	} {
		if got := scraper.ReasonKind(in); got != want {
			t.Errorf("reasonKind(%q) = %q, want %q", in, got, want)
		}
	}
}
