package checker_test

import (
	"strings"
	"testing"
	"time"

	"freeway/lab"
	"freeway/proxy"
)

func TestHealthyProxiesPass(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	for _, p := range proxy.Protocols() {
		t.Run(p.String(), func(t *testing.T) {
			t.Parallel()
			ep := b.add(t, lab.Upstream{Protocol: p})
			v, o := b.one(t, ep)
			if o.Class != proxy.OK || o.Stage != proxy.StageVerify || o.Endpoint != ep || o.Origin != proxy.FromCheck || o.Learned == nil {
				t.Fatalf("outcome = %+v, notes %q, want a pass", o, v.Notes)
			}
			want := proxy.Traits{Tunnel: proxy.Yes, TunnelAny: proxy.Yes, Anonymity: proxy.Elite, ExitIP: ep.Addr()}
			if !p.IsSOCKS() {
				want.Forward = proxy.Yes
			}
			if *o.Learned != want {
				t.Errorf("learned %+v, want %+v", *o.Learned, want)
			}
			if o.Phases.Connect <= 0 || o.Phases.Handshake <= 0 || o.Phases.FirstByte <= 0 || (p == proxy.HTTPS) != (o.Phases.TLS > 0) {
				t.Errorf("phases = %+v, want all that happened", o.Phases)
			}
			dials := 2
			if p == proxy.HTTPS {
				dials = 3 // it was asked first whether it speaks plain HTTP
			}
			if n := b.dialled(ep) - canaries; n != dials {
				t.Errorf("%d connections, want %d", n, dials)
			}
		})
	}
}

func TestBehaviours(t *testing.T) {
	t.Parallel()
	patient := newBench(t, timeout(20*time.Second))
	hasty := benchOver(t, patient.lab, timeout(2*time.Second))
	for _, tt := range []struct {
		name      string
		behaviour lab.Behaviour
		protocol  proxy.Protocol
		stage     proxy.Stage
		class     proxy.Class
		learned   proxy.Traits // what must be learned at least
		dials     int          // at most
	}{
		{"transparent", lab.Transparent, proxy.HTTP, proxy.StageVerify, proxy.OK, proxy.Traits{Anonymity: proxy.Transparent}, 2},
		{"anonymous", lab.Anonymous, proxy.HTTP, proxy.StageVerify, proxy.OK, proxy.Traits{Anonymity: proxy.Anonymous}, 2},
		{"rotating", lab.RotatingExit, proxy.SOCKS5, proxy.StageVerify, proxy.OK, proxy.Traits{Tunnel: proxy.Yes}, 2},
		{"CONNECT 403", lab.ConnectForbidden, proxy.HTTP, proxy.StageVerify, proxy.OK, proxy.Traits{Forward: proxy.Yes, TunnelAny: proxy.No}, 2},
		{"CONNECT 405", lab.ConnectNotAllowed, proxy.HTTP, proxy.StageVerify, proxy.OK, proxy.Traits{Forward: proxy.Yes, Tunnel: proxy.No, TunnelAny: proxy.No}, 2},
		{"HTML after 200", lab.HTMLAfter200, proxy.HTTP, proxy.StageVerify, proxy.OK, proxy.Traits{Forward: proxy.Yes, Tunnel: proxy.No}, 2},
		{"HTML after granted", lab.HTMLAfter200, proxy.SOCKS4, proxy.StageVerify, proxy.WrongContent, proxy.Traits{Tunnel: proxy.No}, 2},
		{"refused", lab.Refused, proxy.HTTP, proxy.StageConnect, proxy.Refused, proxy.Traits{}, 1},
		{"silent", lab.Silent, proxy.HTTP, proxy.StageHandshake, proxy.Timeout, proxy.Traits{}, 1},
		{"silent SOCKS5", lab.Silent, proxy.SOCKS5, proxy.StageHandshake, proxy.Timeout, proxy.Traits{}, 1},
		{"silent https", lab.Silent, proxy.HTTPS, proxy.StageHandshake, proxy.Timeout, proxy.Traits{}, 1},
		{"slow", lab.Slow, proxy.SOCKS4, proxy.StageHandshake, proxy.Timeout, proxy.Traits{}, 1},
		{"login page", lab.LoginPage, proxy.HTTP, 0, proxy.WrongContent, proxy.Traits{}, 2},
		{"locked", lab.Locked, proxy.HTTP, proxy.StageHandshake, proxy.AuthRequired, proxy.Traits{}, 1},
		{"locked SOCKS5", lab.Locked, proxy.SOCKS5, proxy.StageHandshake, proxy.AuthRequired, proxy.Traits{}, 1},
		{"cut", lab.CutBody, proxy.HTTP, 0, proxy.Truncated, proxy.Traits{}, 2},
		{"cut SOCKS5", lab.CutBody, proxy.SOCKS5, 0, proxy.Truncated, proxy.Traits{}, 2},
		{"cut, framed", lab.CutBodyFramed, proxy.HTTP, proxy.StageBody, proxy.Truncated, proxy.Traits{}, 2},
		{"tamper", lab.Tamper, proxy.HTTP, proxy.StageVerify, proxy.Tampered, proxy.Traits{Tampers: "content"}, 2},
		{"tamper SOCKS5", lab.Tamper, proxy.SOCKS5, proxy.StageVerify, proxy.Tampered, proxy.Traits{Tampers: "content"}, 2},
		{"lying exit", lab.LyingExit, proxy.HTTP, proxy.StageVerify, proxy.Tampered, proxy.Traits{Tampers: "content"}, 2},
		{"intercept", lab.Intercept, proxy.HTTP, proxy.StageTunnel, proxy.Tampered, proxy.Traits{Tampers: "tls: issuer CN=Other CA"}, 1},
		{"intercept SOCKS4", lab.Intercept, proxy.SOCKS4, proxy.StageTunnel, proxy.Tampered, proxy.Traits{Tampers: "tls: issuer CN=Other CA"}, 1},
		{"intercept https", lab.Intercept, proxy.HTTPS, proxy.StageTunnel, proxy.Tampered, proxy.Traits{Tampers: "tls: issuer CN=Other CA"}, 2},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			b := patient
			if tt.class == proxy.Timeout {
				b = hasty
			}
			ep := b.add(t, lab.Upstream{Protocol: tt.protocol, Behaviour: tt.behaviour})
			v, o := b.one(t, ep)
			if o.Class != tt.class || tt.stage != 0 && o.Stage != tt.stage {
				t.Errorf("outcome = %v %v, want %v %v; notes %q", o.Stage, o.Class, tt.stage, tt.class, v.Notes)
			}
			var got proxy.Traits
			if o.Learned != nil {
				got = *o.Learned
			}
			if !strings.HasPrefix(got.Tampers, tt.learned.Tampers) || (got.Tampers != "") != (tt.class == proxy.Tampered) {
				t.Errorf("evidence %q, want it to begin with %q", got.Tampers, tt.learned.Tampers)
			}
			tt.learned.Tampers = ""
			if merged := got.Merge(tt.learned); merged != got {
				t.Errorf("learned %+v, want at least %+v", got, tt.learned)
			}
			if tt.class == proxy.OK {
				tt.dials += canaries
			}
			if n := b.dialled(ep); n > tt.dials {
				t.Errorf("%d connections, want at most %d; notes %q", n, tt.dials, v.Notes)
			}
		})
	}
}

func TestMistake17InterceptorNeverPasses(t *testing.T) {
	t.Parallel()
	b := newBench(t, timeout(time.Second))
	for _, p := range proxy.Protocols() {
		ep := b.add(t, lab.Upstream{Protocol: p, Behaviour: lab.Intercept})
		for _, claim := range proxy.Protocols() {
			v, _ := b.one(t, as(ep, claim), guess)
			for _, o := range v.Outcomes {
				if o.Class == proxy.OK {
					t.Errorf("an interceptor of %v passed when listed as %v: %+v", p, claim, o)
				}
			}
		}
	}
}

func TestNameOfJudgeIsResolvedByTheProxy(t *testing.T) {
	t.Parallel()
	l := start(t, lab.Config{})
	b := benchOver(t, l, namedJudges(l))
	for _, tt := range []struct {
		name string
		up   lab.Upstream
		want proxy.Tri
	}{
		{"http", lab.Upstream{}, proxy.Yes},
		{"socks5", lab.Upstream{Protocol: proxy.SOCKS5}, proxy.Yes},
		{"socks4a", lab.Upstream{Protocol: proxy.SOCKS4}, proxy.Yes},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			ep := b.add(t, tt.up)
			v, o := b.one(t, ep)
			if o.Class != proxy.OK || o.Learned.RemoteDNS != tt.want || o.Learned.Tunnel != proxy.Yes || o.Learned.TunnelAny != proxy.Yes {
				t.Errorf("outcome = %v %v %+v, want a pass with remote DNS %v; notes %q", o.Stage, o.Class, o.Learned, tt.want, v.Notes)
			}
		})
	}
}

func TestOnly443(t *testing.T) {
	t.Parallel()
	l := start(t, lab.Config{})
	b := benchOver(t, l, namedJudges(l))
	ep := b.add(t, lab.Upstream{Behaviour: lab.Only443})
	_, o := b.one(t, ep)
	if o.Class != proxy.OK || o.Learned.Tunnel != proxy.Yes || o.Learned.TunnelAny != proxy.No || o.Learned.Forward != proxy.Yes {
		t.Errorf("outcome = %v, learned %+v, want a tunnel to 443 only", o.Class, o.Learned)
	}
	before := b.dialled(ep)
	if _, o = b.one(t, ep, func(e *proxy.Entry) { e.Traits, e.Checks.OK = *o.Learned, 1 }); b.dialled(ep)-before != 2 || o.Class != proxy.OK {
		t.Errorf("the second check took %d connections, want 2: other ports are known", b.dialled(ep)-before)
	}
}

func TestServerWithoutNames(t *testing.T) {
	t.Parallel()
	l := start(t, lab.Config{AllowLoopback: true})
	// By the judge's address its own port is needed, which the lab's names hide.
	b := benchOver(t, l, judges(strings.Replace(l.JudgeHTTP(), "127.0.0.1", "localhost", 1), strings.Replace(l.JudgeHTTPS(), "127.0.0.1", "localhost", 1)))
	for _, p := range []proxy.Protocol{proxy.SOCKS4, proxy.SOCKS5} {
		ep := b.add(t, lab.Upstream{Protocol: p, RefuseNames: true})
		v, o := b.one(t, ep)
		if o.Class != proxy.OK || o.Learned.RemoteDNS != proxy.No {
			t.Errorf("%v: outcome = %v %v %+v, want a pass without remote DNS; notes %q", p, o.Stage, o.Class, o.Learned, v.Notes)
		}
	}
}
