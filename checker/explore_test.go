package checker_test

import (
	"io"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"freeway/lab"
	"freeway/proxy"
)

func TestProtocolIsFound(t *testing.T) {
	t.Parallel()
	b := newBench(t, timeout(8*time.Second))
	for _, tt := range []struct {
		is, claim proxy.Protocol
		dials     int // at most, both judges included
	}{
		{proxy.HTTP, proxy.HTTP, 2},
		{proxy.HTTP, proxy.HTTPS, 2}, // what lists mean by https
		{proxy.HTTP, proxy.SOCKS5, 3},
		{proxy.HTTP, proxy.SOCKS4, 3},
		{proxy.HTTPS, proxy.HTTP, 5}, // the lab's TLS server hangs up on everything else, and waits for more of SOCKS5 first
		{proxy.SOCKS5, proxy.HTTP, 3},
		{proxy.SOCKS5, proxy.HTTPS, 4},
		{proxy.SOCKS5, proxy.SOCKS4, 4},
		{proxy.SOCKS4, proxy.HTTP, 4},
		{proxy.SOCKS4, proxy.SOCKS5, 4},
	} {
		t.Run(tt.is.String()+" as "+tt.claim.String(), func(t *testing.T) {
			t.Parallel()
			ep := b.add(t, lab.Upstream{Protocol: tt.is})
			v, _ := b.one(t, as(ep, tt.claim), guess)
			passed := map[proxy.Endpoint]proxy.Class{}
			for _, o := range v.Outcomes {
				passed[o.Endpoint] = o.Class
			}
			if c, ok := passed[ep]; !ok || c != proxy.OK {
				t.Fatalf("outcomes %v, want %v to pass; notes %q", passed, ep, v.Notes)
			}
			if tt.is != tt.claim {
				if len(v.Found) != 1 || v.Found[0].Endpoint != ep || len(v.Outcomes) != 2 {
					t.Errorf("found %v with outcomes %v, want %v", v.Found, passed, ep)
				}
				if passed[as(ep, tt.claim)] == proxy.OK {
					t.Errorf("the wrong protocol %v passed as well", tt.claim)
				}
			}
			if n := b.dialled(ep) - canaries; n > tt.dials {
				t.Errorf("%d connections, want at most %d; notes %q", n, tt.dials, v.Notes)
			}
		})
	}
}

func TestDeadAddressesAreCheap(t *testing.T) {
	t.Parallel()
	b := newBench(t, timeout(20*time.Second))
	hasty := benchOver(t, b.lab, timeout(2*time.Second))
	all := func(ep proxy.Endpoint) proxy.Job {
		j := proxy.Job{Host: ep.Host, Port: ep.Port}
		for _, p := range proxy.Protocols() {
			j.Entries = append(j.Entries, proxy.Entry{Endpoint: as(ep, p)})
		}
		return j
	}
	silent := func(c net.Conn) { io.Copy(io.Discard, c) }
	for _, tt := range []struct {
		name  string
		ep    proxy.Endpoint
		job   func(proxy.Endpoint) proxy.Job
		class proxy.Class
		dials int // at most
	}{
		{"refused settles four claims", closedPort(t), all, proxy.Refused, 1},
		{"silence settles a guess", scripted(t, silent), func(ep proxy.Endpoint) proxy.Job { return jobOf(ep, guess) }, proxy.Timeout, 1},
		{"a banner of something else", scripted(t, func(c net.Conn) { io.WriteString(c, "SSH-2.0-x\r\n"); hangUp(c) }),
			func(ep proxy.Endpoint) proxy.Job { return jobOf(ep, guess) }, proxy.Garbage, 1},
		{"a web server", scripted(t, func(c net.Conn) {
			hangUp(c)
			io.WriteString(c, "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
		}), func(ep proxy.Endpoint) proxy.Job { return jobOf(ep, guess) }, proxy.Rejected, 2},
		{"hangs up, first check", scripted(t, hangUp), func(ep proxy.Endpoint) proxy.Job { return jobOf(ep) }, proxy.EOF, 5},
		{"hangs up, known", scripted(t, hangUp), func(ep proxy.Endpoint) proxy.Job { return jobOf(ep, checked) }, proxy.EOF, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			b := b
			if tt.class == proxy.Timeout {
				b = hasty
			}
			v := b.Check(t.Context(), tt.job(tt.ep))
			if len(v.Outcomes) != len(v.Job.Entries) || len(v.Found) != 0 {
				t.Fatalf("%d outcomes and %d found for %d entries", len(v.Outcomes), len(v.Found), len(v.Job.Entries))
			}
			for _, o := range v.Outcomes {
				if o.Class != tt.class && !(tt.class == proxy.EOF && o.Class == proxy.Reset) {
					t.Errorf("%v: %v %v, want %v; notes %q", o.Endpoint, o.Stage, o.Class, tt.class, v.Notes)
				}
			}
			if n := b.dialled(tt.ep); n > tt.dials {
				t.Errorf("%d connections, want at most %d; notes %q", n, tt.dials, v.Notes)
			}
		})
	}
}

func TestSilentCheckKeepsToItsTime(t *testing.T) {
	t.Parallel()
	const limit = time.Second
	b := newBench(t, timeout(limit))
	ep := b.add(t, lab.Upstream{Behaviour: lab.Silent})
	b.one(t, b.add(t, lab.Upstream{})) // the judges are known from here on
	began := time.Now()
	_, o := b.one(t, ep, guess)
	if took := time.Since(began); o.Class != proxy.Timeout || took < limit || took > limit+10*time.Second {
		t.Errorf("%v after %v, want a timeout after %v", o.Class, took, limit)
	}
}

func TestForwardOnlyProxyThatHangsUpOnConnect(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	up := b.add(t, lab.Upstream{})
	ep := scripted(t, func(c net.Conn) {
		first := make([]byte, 1024)
		n, _ := c.Read(first)
		if n < 4 || string(first[:4]) != "GET " {
			return
		}
		to, err := net.Dial("tcp", up.Address())
		if err != nil {
			return
		}
		defer to.Close()
		to.Write(first[:n])
		io.Copy(c, to)
	})
	v, o := b.one(t, ep)
	if o.Class != proxy.OK || o.Learned.Forward != proxy.Yes {
		t.Errorf("outcome = %v %v %+v, want a pass by forwarding; notes %q", o.Stage, o.Class, o.Learned, v.Notes)
	}
}

func TestTLSPortIsRecognised(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	for name, answer := range map[string]string{
		"alert":     "\x15\x03\x01\x00\x02\x02\x46",
		"complaint": "HTTP/1.1 400 Bad Request\r\nContent-Length: 57\r\n\r\nThe plain HTTP request was sent to HTTPS port, says nginx.",
	} {
		var hello atomic.Bool
		ep := scripted(t, func(c net.Conn) {
			first := make([]byte, 1024)
			if n, _ := c.Read(first); n > 0 && first[0] == 0x16 { // a TLS handshake
				hello.Store(true)
				return
			}
			io.WriteString(c, answer)
			hangUp(c)
		})
		v, _ := b.one(t, ep, guess)
		if n := b.dialled(ep); !hello.Load() || n > 3 {
			t.Errorf("%s: TLS tried %v after %d connections, want it tried within 3; notes %q", name, hello.Load(), n, v.Notes)
		}
	}
}

func TestCredentialsGoOnlyToTheClaimedProtocol(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	for _, p := range proxy.Protocols() {
		ep := b.add(t, lab.Upstream{Protocol: p, User: "bob", Password: "hunter2"})
		right := func(e *proxy.Entry) { e.Password = proxy.NewSecret("hunter2") }
		if _, o := b.one(t, ep, right); o.Class != proxy.OK {
			t.Errorf("%v with the right password: %v %v, want a pass", p, o.Stage, o.Class)
		}
		before := b.dialled(ep)
		wrong := func(e *proxy.Entry) { e.Password = proxy.NewSecret("x"); e.Guess = true }
		v, o := b.one(t, ep, wrong)
		if p == proxy.SOCKS4 { // which has no passwords
			continue
		}
		if o.Class != proxy.AuthRequired || len(v.Found) != 0 || b.dialled(ep)-before != 1 {
			t.Errorf("%v with a wrong password: %v %v after %d connections, found %v, want auth_required after 1", p, o.Stage, o.Class, b.dialled(ep)-before, v.Found)
		}
	}
	// Credentials that were made for TLS to the proxy must not be seen in plain text.
	var leaked atomic.Bool
	ep := scripted(t, func(c net.Conn) {
		first := make([]byte, 4096)
		n, _ := c.Read(first)
		if n > 0 && first[0] != 0x16 {
			leaked.Store(true)
		}
	})
	ep.Protocol, ep.User = proxy.HTTPS, "bob"
	b.one(t, ep, guess, func(e *proxy.Entry) { e.Password = proxy.NewSecret("hunter2") })
	if leaked.Load() {
		t.Error("an https proxy with credentials was spoken to in plain text")
	}
}

func TestManyClaimsAtOneAddress(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	ep := b.add(t, lab.Upstream{Protocol: proxy.SOCKS5})
	job := proxy.Job{Host: ep.Host, Port: ep.Port, Entries: []proxy.Entry{
		{Endpoint: as(ep, proxy.SOCKS4)}, {Endpoint: ep}, {Endpoint: as(ep, proxy.HTTP), Guess: true},
	}}
	v := b.Check(t.Context(), job)
	if len(v.Outcomes) != 3 || len(v.Found) != 0 {
		t.Fatalf("%d outcomes and %d found, want one for each claim", len(v.Outcomes), len(v.Found))
	}
	for i, o := range v.Outcomes {
		if o.Endpoint != job.Entries[i].Endpoint || (o.Class == proxy.OK) != (o.Endpoint == ep) {
			t.Errorf("outcome %d is %v %v, want those of the entries in order, and only %v passing", i, o.Endpoint, o.Class, ep)
		}
	}
}

func TestHTTPSProxyWithoutTrustedCertificate(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	j := newJudge(t, true, nil) // any TLS server whose CA nobody knows
	ep, err := proxy.Parse("https://" + j.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	_, o := b.one(t, ep, func(e *proxy.Entry) { e.LastLive = time.Now() })
	if o.Class != proxy.BadTLS || o.Stage != proxy.StageTLS {
		t.Errorf("outcome = %v %v, want bad_tls at the TLS to the proxy", o.Stage, o.Class)
	}
}
