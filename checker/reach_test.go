package checker_test

import (
	"net"
	"net/http"
	"net/http/httptest"
	"testing"

	"freeway/internal/judge"
	"freeway/lab"
	"freeway/proxy"
)

// sixthJudge serves a judge at ::1.
func sixthJudge(t *testing.T) string {
	t.Helper()
	ln, err := net.Listen("tcp", "[::1]:0")
	if err != nil {
		t.Skip("no IPv6 here: ", err)
	}
	srv := &httptest.Server{Listener: ln, Config: &http.Server{Handler: judge.Handler(judge.Options{})}}
	srv.Config.SetKeepAlivesEnabled(false)
	srv.Start()
	t.Cleanup(srv.Close)
	return srv.URL
}

func TestIPv6Reach(t *testing.T) {
	t.Parallel()
	url := sixthJudge(t)
	with, without := start(t, lab.Config{AllowLoopback: true}), start(t, lab.Config{})
	for _, tt := range []struct {
		name  string
		lab   *lab.Lab
		proto proxy.Protocol
		known proxy.Tri
		want  proxy.Tri
		dials int
	}{
		{"http reaches it", with, proxy.HTTP, proxy.Unknown, proxy.Yes, 3},
		{"socks5 reaches it", with, proxy.SOCKS5, proxy.Unknown, proxy.Yes, 3},
		{"socks4 cannot say it", with, proxy.SOCKS4, proxy.Unknown, proxy.Unknown, 2},
		{"http does not", without, proxy.HTTP, proxy.Unknown, proxy.No, 3},
		{"socks5 does not", without, proxy.SOCKS5, proxy.Unknown, proxy.No, 3},
		{"known", with, proxy.HTTP, proxy.Yes, proxy.Unknown, 2},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			b := benchOver(t, tt.lab, judges(tt.lab.JudgeHTTP(), tt.lab.JudgeHTTPS(), url))
			ep := b.add(t, lab.Upstream{Protocol: tt.proto})
			v, o := b.one(t, ep, passedOnce, func(e *proxy.Entry) { e.Traits.IPv6 = tt.known })
			if o.Class != proxy.OK || o.Learned.IPv6 != tt.want || b.dialled(ep) != tt.dials {
				t.Errorf("outcome %v, IPv6 %v after %d connections, want %v after %d; notes %q", o.Class, o.Learned.IPv6, b.dialled(ep), tt.want, tt.dials, v.Notes)
			}
		})
	}
}

// TestJudgesByIPv6Alone: a proxy that does not reach them cannot be tested with them.
func TestJudgesByIPv6Alone(t *testing.T) {
	t.Parallel()
	url := sixthJudge(t)
	l := start(t, lab.Config{})
	b := benchOver(t, l, judges(url))
	if v, o := b.one(t, b.add(t, lab.Upstream{})); o.Class != proxy.BadGateway {
		t.Errorf("outcome %v, want bad_gateway: it does not reach the judge; notes %q", o.Class, v.Notes)
	}
}
