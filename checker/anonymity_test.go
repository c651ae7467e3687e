package checker_test

import (
	"net/netip"
	"slices"
	"testing"

	"freeway/checker"
	"freeway/internal/judge"
	"freeway/proxy"
)

func addr(s string) netip.Addr { return netip.MustParseAddr(s) }

func headers(pairs ...string) []judge.Field {
	out := []judge.Field{{Name: "User-Agent", Value: "Freeway"}, {Name: "Accept", Value: "*/*"}, {Name: "X-Canary", Value: "1.2.3.4"}}
	for i := 0; i+1 < len(pairs); i += 2 {
		out = append(out, judge.Field{Name: pairs[i], Value: pairs[i+1]})
	}
	return out
}

func TestGrade(t *testing.T) {
	t.Parallel()
	own := []netip.Addr{addr("1.2.3.4"), addr("2001:db8::7")}
	for _, tt := range []struct {
		name   string
		seen   []string
		direct []string
		want   proxy.Anonymity
	}{
		{"nothing added", nil, nil, proxy.Elite},
		{"via", []string{"Via", "1.1 squid"}, nil, proxy.Anonymous},
		{"own address", []string{"X-Forwarded-For", "1.2.3.4"}, nil, proxy.Transparent},
		{"own address among others", []string{"X-Forwarded-For", "unknown, 10.0.0.1,1.2.3.4 , 9.9.9.9"}, nil, proxy.Transparent},
		{"own address with port", []string{"X-Real-Ip", "1.2.3.4:51234"}, nil, proxy.Transparent},
		{"own IPv6 in Forwarded", []string{"Forwarded", `by=x;for="[2001:db8::7]:4711";proto=http`}, nil, proxy.Transparent},
		{"own IPv6 written long", []string{"X-Foo", "2001:0DB8:0:0:0:0:0:7"}, nil, proxy.Transparent},
		{"own address in a header nobody knows", []string{"X-Whatever", "c=1.2.3.4"}, nil, proxy.Transparent},
		{"mapped", []string{"X-Foo", "::ffff:1.2.3.4"}, nil, proxy.Transparent},
		{"another address that contains ours", []string{"X-Forwarded-For", "11.2.3.45"}, nil, proxy.Anonymous},
		{"another address in a plain header", []string{"X-Foo", "11.2.3.4"}, nil, proxy.Elite},
		{"the judge's front end", []string{"X-Forwarded-For", "8.8.8.8", "Via", "1.1 front"}, []string{"X-Forwarded-For", "1.2.3.4", "Via", "1.1 front"}, proxy.Elite},
		{"more than the front end adds", []string{"X-Forwarded-For", "unknown, 8.8.8.8"}, []string{"X-Forwarded-For", "1.2.3.4"}, proxy.Anonymous},
		{"a second via", []string{"Via", "1.0 a, 1.1 front"}, []string{"Via", "1.1 front"}, proxy.Anonymous},
		{"a second line of via", []string{"Via", "1.0 a", "Via", "1.1 front"}, []string{"Via", "1.1 front"}, proxy.Anonymous},
		{"changed connection handling", []string{"Connection", "keep-alive", "Cache-Control", "max-age=0", "Accept-Encoding", "gzip"}, nil, proxy.Elite},
		{"any case", []string{"x-PROXYUSER-ip", "x"}, nil, proxy.Anonymous},
		{"max-forwards", []string{"Max-Forwards", "10"}, nil, proxy.Anonymous},
		{"cache", []string{"X-Cache", "MISS"}, nil, proxy.Anonymous},
		{"bluecoat", []string{"X-Bluecoat-Via", "abc"}, nil, proxy.Anonymous},
		{"our credentials passed on", []string{"Proxy-Authorization", "Basic eDp5"}, nil, proxy.Anonymous},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			seen, direct := judge.Seen{Header: headers(tt.seen...)}, judge.Seen{Header: headers(tt.direct...)}
			if got := checker.Grade(seen, direct, own, true); got != tt.want {
				t.Errorf("grade = %v, want %v", got, tt.want)
			}
			want := proxy.AnonymityUnknown
			if tt.want == proxy.Transparent {
				want = proxy.Transparent
			}
			if got := checker.Grade(seen, direct, own, false); got != want {
				t.Errorf("grade with own addresses uncertain = %v, want %v", got, want)
			}
		})
	}
	chain := judge.Seen{Chain: []netip.Addr{addr("1.2.3.4"), addr("9.9.9.9")}, Remote: addr("9.9.9.9"), Header: headers()}
	if got := checker.Grade(chain, judge.Seen{}, own, true); got != proxy.Transparent {
		t.Errorf("own address in httpbin's origin: %v, want transparent", got)
	}
}

func TestOwnAddressesNeedAgreement(t *testing.T) {
	t.Parallel()
	a, b := addr("1.2.3.4"), addr("5.6.7.8")
	for _, tt := range []struct {
		name       string
		configured []netip.Addr
		seen       []checker.Sighting
		operators  int
		want       []netip.Addr
		known      bool
	}{
		{"nobody says anything", nil, nil, 2, nil, false},
		{"configured", []netip.Addr{a}, nil, 2, []netip.Addr{a}, true},
		{"one of two operators", nil, []checker.Sighting{{a, "x.org", false}}, 2, []netip.Addr{a}, false},
		{"one operator twice", nil, []checker.Sighting{{a, "x.org", false}, {a, "x.org", false}}, 2, []netip.Addr{a}, false},
		{"two operators agree", nil, []checker.Sighting{{a, "x.org", false}, {a, "y.org", false}}, 2, []netip.Addr{a}, true},
		{"two operators disagree", nil, []checker.Sighting{{a, "x.org", false}, {b, "y.org", false}}, 2, []netip.Addr{a, b}, false},
		{"a judge of ours", nil, []checker.Sighting{{a, "x.org", true}}, 2, []netip.Addr{a}, true},
		{"only one operator there", nil, []checker.Sighting{{a, "x.org", false}}, 1, []netip.Addr{a}, true},
		{"no address", nil, []checker.Sighting{{netip.Addr{}, "x.org", true}}, 1, nil, false},
	} {
		got, known := checker.Learn(tt.configured, tt.seen, tt.operators)
		if !slices.Equal(got, tt.want) || known != tt.known {
			t.Errorf("%s: own addresses %v, known %v, want %v, %v", tt.name, got, known, tt.want, tt.known)
		}
	}
	var many []checker.Sighting
	for i := range 1000 {
		many = append(many, checker.Sighting{Addr: netip.AddrFrom4([4]byte{9, 9, byte(i >> 8), byte(i)}), Operator: "liar.org"})
	}
	if got, known := checker.Learn(nil, many, 2); len(got) > 100 || known {
		t.Errorf("a liar made us believe %d addresses, known %v", len(got), known)
	}
}

func FuzzMentions(f *testing.F) {
	for _, s := range []string{"", "1.2.3.4", `for="[2001:db8::7]:80"`, "a1.2.3.4", "ba:1.2.3.4", "1.2.3.4.5", "::", "[", "fe80::1%eth0", "..1.2.3.4:", "1.2.3.4:99999"} {
		f.Add(s, "tail")
	}
	a := addr("1.2.3.4")
	f.Fuzz(func(t *testing.T, before, after string) {
		checker.Mentions(before, a)
		if text := before + " 1.2.3.4, " + after; !checker.Mentions(text, a) {
			t.Errorf("1.2.3.4 is not found in %q", text)
		}
		if text := before + ",[2001:db8::7]:4711;" + after; !checker.Mentions(text, addr("2001:db8::7")) {
			t.Errorf("2001:db8::7 is not found in %q", text)
		}
	})
}

func TestRevealed(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		first string
		class proxy.Class
		want  string
	}{
		{"", proxy.EOF, "closed"}, {"", proxy.Reset, "closed"}, {"", proxy.Timeout, "silent"},
		{"HTTP/1.1 400 Bad Request\r\n\r\n", proxy.Garbage, "http"},
		{"HTTP/1.1 400 Bad Request\r\n\r\n<h1>The plain HTTP request was sent to HTTPS port</h1>", proxy.Rejected, "https"},
		{"HTTP/1.1 200 OK\r\n\r\nHTTPS port", proxy.Rejected, "http"},
		{"\x15\x03\x01\x00\x02\x02\x46", proxy.Garbage, "https"}, {"\x15", proxy.Garbage, "https"}, {"\x15\x99", proxy.Garbage, "foreign"},
		{"\x05\x00", proxy.Garbage, "socks5"}, {"\x05\xff", proxy.Garbage, "socks5"}, {"\x05\x77", proxy.Garbage, "foreign"},
		{"\x00\x5b", proxy.Garbage, "socks4"}, {"\x00\x00", proxy.Garbage, "foreign"},
		{"SSH-2.0-x\r\n", proxy.Garbage, "foreign"}, {"HT", proxy.Garbage, "http"}, {"HX", proxy.Garbage, "foreign"},
	} {
		if got := checker.Revealed([]byte(tt.first), tt.class); got != tt.want {
			t.Errorf("Revealed(%q, %v) = %q, want %q", tt.first, tt.class, got, tt.want)
		}
	}
}
