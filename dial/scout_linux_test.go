package dial_test

import (
	"errors"
	"io"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"freeway/dial"
	"freeway/proxy"
)

// foray is one that the test waits for.
type foray struct {
	limit     atomic.Int64 // of any step
	connected atomic.Int64 // how often Connected was called
	done      chan dial.Scouted
}

func newForay(limit time.Duration) *foray {
	f := &foray{done: make(chan dial.Scouted, 2)} // room for one too many
	f.limit.Store(int64(limit))
	return f
}

func (f *foray) Limit(proxy.Stage) time.Duration { return time.Duration(f.limit.Load()) }
func (f *foray) Connected()                      { f.connected.Add(1) }
func (f *foray) Done(got dial.Scouted)           { f.done <- got }

// scouts is a scout that ends with the test.
func scouts(t testing.TB) *dial.Scout {
	t.Helper()
	s, err := dial.NewScout()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

// send starts a foray and waits for what comes of it.
func send(t testing.TB, s *dial.Scout, f *foray, r dial.Route) dial.Scouted {
	t.Helper()
	got, done := s.Start(f, r)
	if !done {
		got = within(t, f.done, "return of the scout")
	}
	if n := f.connected.Load(); n != 1 {
		t.Errorf("Connected was called %d times, want once", n)
	}
	if (got.Conn == nil) == (got.Err == nil) {
		t.Errorf("got %+v, want a connection or an error", got)
	}
	return got
}

func at(t testing.TB, s string) *proxy.Target {
	to := target(t, s)
	return &to
}

// TestScoutedTunnels: what a scout has begun becomes the same tunnel, with the same
// bytes for the proxy, as one that was opened without it.
func TestScoutedTunnels(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name     string
		protocol proxy.Protocol
		user     string
		turns    []turn // read 0: a request head
	}{
		{"CONNECT", proxy.HTTP, "bob", []turn{{0, "HTTP/1.1 200 OK\r\n\r\nhello"}}},
		{"SOCKS5", proxy.SOCKS5, "", []turn{{3, "\x05\x00"}, {18, "\x05\x00\x00\x01\x7f\x00\x00\x01\x00\x50hello"}}},
		{"SOCKS5 with credentials", proxy.SOCKS5, "bob", []turn{{4, "\x05\x02"}, {8, "\x01\x00"}, {18, "\x05\x00\x00\x01\x7f\x00\x00\x01\x00\x50hello"}}},
		{"SOCKS4", proxy.SOCKS4, "bob", []turn{{24, "\x00\x5a\x00\x50\x7f\x00\x00\x01hello"}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			heard := make(chan string, 2)
			addr := listen(t, func(c net.Conn) {
				all := ""
				for _, turn := range tt.turns {
					if turn.read == 0 {
						all += readHead(c)
					} else {
						all += readN(c, turn.read)
					}
					_, _ = io.WriteString(c, turn.says)
				}
				heard <- all
				gone(c)
			})
			via := dial.New(slow, env(t)).Via(endpoint(t, tt.protocol, addr, tt.user), proxy.NewSecret("pw"))
			to := at(t, "www.example:443")
			got := send(t, scouts(t), newForay(time.Minute), dial.Route{Via: via, To: to})
			if got.Err != nil {
				t.Fatal(got.Err)
			}
			c, err := via.TunnelOver(t.Context(), got.Conn, *to)
			c = closing(t, c, err)
			if s := readN(c, 5); s != "hello" {
				t.Errorf("the tunnel says %q", s)
			}
			if p := c.Phases(); p.Connect <= 0 || p.Handshake <= 0 || got.Nudged {
				t.Errorf("phases %+v, nudged %v", p, got.Nudged)
			}
			d, err := via.Tunnel(t.Context(), *to)
			closing(t, d, err)
			if a, b := within(t, heard, "first"), within(t, heard, "second"); a != b {
				t.Errorf("with a scout the proxy got %q, without %q", a, b)
			}
		})
	}
}

// TestScoutOnlyConnects where there is no target, and where the opening is not known ahead.
func TestScoutOnlyConnects(t *testing.T) {
	t.Parallel()
	heard := make(chan string, 1)
	addr := listen(t, func(c net.Conn) { heard <- readN(c, 5) })
	for _, r := range []dial.Route{
		{Via: dial.New(slow, env(t)).Via(endpoint(t, proxy.HTTP, addr, ""), proxy.Secret{})},
		{Via: dial.New(slow, env(t)).Via(endpoint(t, proxy.HTTPS, addr, ""), proxy.Secret{}), To: at(t, "www.example:443")},
	} {
		got := send(t, scouts(t), newForay(time.Minute), r)
		c := closing(t, got.Conn, nil)
		if got.Conn.TCP() == nil || got.Conn.RemoteAddrPort() != addr {
			t.Errorf("the connection is to %v, want plain TCP to %v", got.Conn.RemoteAddrPort(), addr)
		}
		_, _ = io.WriteString(c, "hello")
		if s := within(t, heard, "greeting"); s != "hello" {
			t.Errorf("the proxy got %q first", s)
		}
	}
}

// TestScoutFails in every way there is.
func TestScoutFails(t *testing.T) {
	t.Parallel()
	silent := listen(t, gone)
	own := env(t)
	own.Forbid = func(netip.AddrPort) bool { return true }
	guarded := env(t)
	guarded.Control = func(string, string, syscall.RawConn) error { return errors.New("not today") }
	for _, tt := range []struct {
		name  string
		env   dial.Env
		at    netip.AddrPort
		limit time.Duration
		stage proxy.Stage
		class proxy.Class
	}{
		{"refused", env(t), nobody(t), time.Minute, proxy.StageConnect, proxy.Refused},
		{"not public", dial.Env{}, silent, time.Minute, proxy.StageConnect, proxy.Forbidden},
		{"own listener", own, silent, time.Minute, proxy.StageConnect, proxy.Forbidden},
		{"hook", guarded, silent, time.Minute, proxy.StageConnect, proxy.Forbidden},
		{"silent", env(t), silent, 50 * time.Millisecond, proxy.StageHandshake, proxy.Timeout},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			via := dial.New(slow, tt.env).Via(endpoint(t, proxy.HTTP, tt.at, ""), proxy.Secret{})
			got := send(t, scouts(t), newForay(tt.limit), dial.Route{Via: via, To: at(t, "www.example:443")})
			wantError(t, got.Err, tt.stage, tt.class, 0)
		})
	}
}

// TestScoutConnectTimeOut: a connect that nobody answers ends when its time is over, and when the scout is.
func TestScoutConnectTimeOut(t *testing.T) {
	t.Parallel()
	via := dial.New(slow, env(t)).Via(endpoint(t, proxy.HTTP, deaf(t), ""), proxy.Secret{})
	s, err := dial.NewScout()
	if err != nil {
		t.Fatal(err)
	}
	got := send(t, s, newForay(50*time.Millisecond), dial.Route{Via: via})
	wantError(t, got.Err, proxy.StageConnect, proxy.Timeout, 0)
	f := newForay(time.Hour)
	if got, done := s.Start(f, dial.Route{Via: via}); done {
		t.Fatalf("it came back with %+v", got)
	}
	s.Close()
	wantError(t, within(t, f.done, "return").Err, proxy.StageConnect, proxy.Canceled, 0)
	f = newForay(time.Hour)
	got = send(t, s, f, dial.Route{Via: via}) // too late
	wantError(t, got.Err, proxy.StageConnect, proxy.Canceled, 0)
	s.Close() // nothing more to do
}

// TestScoutLimitShrinks while the scout is out.
func TestScoutLimitShrinks(t *testing.T) {
	t.Parallel()
	asked := make(chan string, 1)
	addr := listen(t, func(c net.Conn) { asked <- readHead(c); gone(c) })
	via := dial.New(slow, env(t)).Via(endpoint(t, proxy.HTTP, addr, ""), proxy.Secret{})
	f := newForay(time.Hour)
	if got, done := scouts(t).Start(f, dial.Route{Via: via, To: at(t, "www.example:443")}); done {
		t.Fatalf("it came back with %+v", got)
	}
	within(t, asked, "question")
	f.limit.Store(int64(time.Millisecond))
	got := within(t, f.done, "return")
	wantError(t, got.Err, proxy.StageHandshake, proxy.Timeout, 0)
	if p := got.Err.Phases; p.Connect <= 0 || p.Handshake <= 0 {
		t.Errorf("phases %+v", p)
	}
}

// TestScoutNudges who waits for the end of a line.
func TestScoutNudges(t *testing.T) {
	t.Parallel()
	addr := listen(t, func(c net.Conn) {
		if readN(c, 3+4) == "\x05\x01\x00\r\n\r\n" {
			_, _ = io.WriteString(c, "HTTP/1.1 400 Bad Request\r\n\r\n")
		}
	})
	via := dial.New(slow, env(t)).Via(endpoint(t, proxy.SOCKS5, addr, ""), proxy.Secret{})
	got := send(t, scouts(t), newForay(time.Minute), dial.Route{Via: via, To: at(t, "www.example:443"), Nudge: 30 * time.Millisecond})
	if !got.Nudged || got.Err != nil {
		t.Fatalf("got %+v, want one that was nudged", got)
	}
	_, err := via.TunnelOver(t.Context(), got.Conn, target(t, "www.example:443"))
	wantError(t, err, proxy.StageHandshake, proxy.Garbage, 0)
}

// TestScoutHears a banner that comes before the question, an end, and a cut.
func TestScoutHears(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		handle func(net.Conn)
		class  proxy.Class
	}{
		"banner": {func(c net.Conn) { _, _ = io.WriteString(c, "SSH-2.0-x\r\n"); gone(c) }, proxy.Garbage},
		"end":    {func(c net.Conn) { readHead(c) }, proxy.EOF},
		"cut":    {func(c net.Conn) { readHead(c); reset(c) }, proxy.Reset},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			via := dial.New(slow, env(t)).Via(endpoint(t, proxy.HTTP, listen(t, tt.handle), ""), proxy.Secret{})
			got := send(t, scouts(t), newForay(time.Minute), dial.Route{Via: via, To: at(t, "www.example:443")})
			if got.Err != nil {
				t.Fatal(got.Err)
			}
			_, err := via.TunnelOver(t.Context(), got.Conn, target(t, "www.example:443"))
			wantError(t, err, proxy.StageHandshake, tt.class, 0)
		})
	}
}

// TestScoutedForAnotherTarget: the opening that was sent cannot be used for anything else.
func TestScoutedForAnotherTarget(t *testing.T) {
	t.Parallel()
	addr := listen(t, func(c net.Conn) { readHead(c); _, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\n\r\n"); gone(c) })
	via := dial.New(slow, env(t)).Via(endpoint(t, proxy.HTTP, addr, ""), proxy.Secret{})
	got := send(t, scouts(t), newForay(time.Minute), dial.Route{Via: via, To: at(t, "www.example:443")})
	_, err := via.TunnelOver(t.Context(), got.Conn, target(t, "other.example:443"))
	wantError(t, err, proxy.StageHandshake, proxy.Canceled, 0)
}

// TestScoutedLate: the time that the scout has waited is part of the step's.
func TestScoutedLate(t *testing.T) {
	t.Parallel()
	const handshake = time.Minute
	addr := listen(t, func(c net.Conn) { readHead(c); _, _ = io.WriteString(c, "H"); gone(c) }) // and no more
	via := dial.New(dial.Config{Handshake: handshake}, env(t)).Via(endpoint(t, proxy.HTTP, addr, ""), proxy.Secret{})
	got := send(t, scouts(t), newForay(time.Minute), dial.Route{Via: via, To: at(t, "www.example:443")})
	if got.Err != nil {
		t.Fatal(got.Err)
	}
	dial.Earlier(got.Conn, handshake) // as if it had taken the scout so long
	_, err := via.TunnelOver(t.Context(), got.Conn, target(t, "www.example:443"))
	wantError(t, err, proxy.StageHandshake, proxy.Timeout, 0)
	if e, _ := errors.AsType[*dial.Error](err); e.Phases.Handshake < handshake || e.Phases.Handshake >= 2*handshake {
		t.Errorf("it took %v, want hardly more than %v", e.Phases.Handshake, handshake)
	}
}

// TestScoutToItself: a socket that is connected to itself, as may happen to who dials
// a port of this machine where nobody listens, reaches nobody.
func TestScoutToItself(t *testing.T) {
	t.Parallel()
	addr := nobody(t)
	d := env(t)
	guard := d.Control
	d.Control = func(network, address string, c syscall.RawConn) error {
		err := guard(network, address, c)
		_ = c.Control(func(fd uintptr) { // what the system does now and then by itself
			err = errors.Join(err, syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_REUSEADDR, 1),
				syscall.Bind(int(fd), &syscall.SockaddrInet4{Addr: addr.Addr().As4(), Port: int(addr.Port())}))
		})
		return err
	}
	via := dial.New(slow, d).Via(endpoint(t, proxy.HTTP, addr, ""), proxy.Secret{})
	got := send(t, scouts(t), newForay(time.Minute), dial.Route{Via: via, To: at(t, "www.example:443")})
	wantError(t, got.Err, proxy.StageConnect, proxy.Refused, 0)
}

// TestScoutsInCrowds: many at a time, of all kinds, each come back once, and no connection is left.
func TestScoutsInCrowds(t *testing.T) {
	t.Parallel()
	const each = 100
	s := scouts(t)
	ended := make(chan struct{}, 2*each)
	answers := listen(t, func(c net.Conn) {
		readHead(c)
		_, _ = io.WriteString(c, "HTTP/1.1 502 Bad\r\n\r\n")
		gone(c)
		ended <- struct{}{}
	})
	silent := listen(t, func(c net.Conn) { gone(c); ended <- struct{}{} })
	d := dial.New(slow, env(t))
	var wg sync.WaitGroup
	var mu sync.Mutex // protects counts
	counts := map[proxy.Class]int{}
	for _, addr := range []netip.AddrPort{answers, silent, nobody(t)} {
		via := d.Via(endpoint(t, proxy.HTTP, addr, ""), proxy.Secret{})
		for range each {
			wg.Go(func() {
				limit := time.Minute
				if addr == silent {
					limit = 200 * time.Millisecond
				}
				f := newForay(limit)
				got, done := s.Start(f, dial.Route{Via: via, To: at(t, "www.example:443")})
				if !done {
					got = <-f.done
				}
				class := proxy.OK
				if got.Err != nil {
					class = got.Err.Class
				} else if _, err := via.TunnelOver(t.Context(), got.Conn, target(t, "www.example:443")); err != nil {
					class = dial.Classify(err)
				}
				mu.Lock()
				defer mu.Unlock()
				counts[class]++
				if len(f.done) > 0 || f.connected.Load() != 1 {
					t.Error("it came back, or was connected, more than once")
				}
			})
		}
	}
	wg.Wait()
	if counts[proxy.BadGateway] != each || counts[proxy.Timeout] != each || counts[proxy.Refused] != each {
		t.Errorf("outcomes %v, want %d each of bad gateway, timeout and refused", counts, each)
	}
	for range 2 * each {
		within(t, ended, "end of a connection")
	}
}

// nobody is an address that is taken, so that nobody can come to listen there, and where nobody listens.
func nobody(t testing.TB) netip.AddrPort {
	_, at := bound(t)
	return at
}
