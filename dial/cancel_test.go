package dial_test

import (
	"context"
	"io"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"freeway/dial"
	"freeway/proxy"
)

// stalls are proxies that fall silent at one point: what they say before it, turn by turn.
var stalls = []struct {
	name     string
	protocol proxy.Protocol
	stage    proxy.Stage
	turns    []turn
}{
	{"TLS", proxy.HTTPS, proxy.StageTLS, []turn{{5, ""}}},
	{"in the middle of a TLS record", proxy.HTTPS, proxy.StageTLS, []turn{{5, "\x16\x03\x03\x01\x00\x02"}}},
	{"CONNECT", proxy.HTTP, proxy.StageHandshake, []turn{{40, ""}}},
	{"in the middle of the answer to CONNECT", proxy.HTTP, proxy.StageHandshake, []turn{{40, "HTTP/1.1 200 OK\r\nA: "}}},
	{"SOCKS5 greeting", proxy.SOCKS5, proxy.StageHandshake, []turn{{4, ""}}},
	{"SOCKS5 login", proxy.SOCKS5, proxy.StageHandshake, []turn{{4, "\x05\x02"}, {4, ""}}},
	{"SOCKS5 request", proxy.SOCKS5, proxy.StageHandshake, []turn{{4, "\x05\x00"}, {16, ""}}},
	{"SOCKS5 bound address", proxy.SOCKS5, proxy.StageHandshake, []turn{{4, "\x05\x00"}, {16, "\x05\x00\x00\x03\xffabc"}}},
	{"SOCKS4", proxy.SOCKS4, proxy.StageHandshake, []turn{{20, ""}}},
}

// TestCancelAtEachStage ends the context once the proxy has fallen silent.
func TestCancelAtEachStage(t *testing.T) {
	t.Parallel()
	for _, tt := range stalls {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got, ended := make(chan string, 1), make(chan struct{})
			handle := play(tt.turns, got, gone)
			at := listen(t, func(c net.Conn) { handle(c); close(ended) })
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			failed := make(chan error, 1)
			go func() {
				_, err := dial.New(slow, env(t)).Via(endpoint(t, tt.protocol, at, "u"), proxy.Secret{}).Tunnel(ctx, target(t, "a.example:443"))
				failed <- err
			}()
			within(t, got, "stall")
			cancel()
			wantError(t, within(t, failed, "return"), tt.stage, proxy.Canceled, 0)
			within(t, ended, "end of the connection")
		})
	}
}

func TestCancelWhileResolving(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	e := env(t)
	e.Resolver = &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		cancel()
		<-ctx.Done()
		return nil, ctx.Err()
	}}
	ep, err := proxy.Parse("http://proxy.example:9")
	if err != nil {
		t.Fatal(err)
	}
	_, err = dial.New(slow, e).Via(ep, proxy.Secret{}).Tunnel(ctx, target(t, "a.example:443"))
	wantError(t, err, proxy.StageResolve, proxy.Canceled, 0)
}

func TestContextThatHasEnded(t *testing.T) {
	t.Parallel()
	at := listen(t, gone)
	via := dial.New(slow, env(t)).Via(endpoint(t, proxy.HTTP, at, ""), proxy.Secret{})
	c, err := via.Connect(t.Context())
	closing(t, c, err)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = via.Connect(ctx)
	wantError(t, err, proxy.StageConnect, proxy.Canceled, 0)
	_, err = via.TunnelOver(ctx, c, target(t, "a.example:443"))
	wantError(t, err, proxy.StageHandshake, proxy.Canceled, 0)
	if _, err := c.Read(make([]byte, 1)); dial.Classify(err) != proxy.Canceled {
		t.Errorf("the connection is still open: %v", err)
	}
}

// TestEndOfTheContextAfterwards does not touch a tunnel that is up.
func TestEndOfTheContextAfterwards(t *testing.T) {
	t.Parallel()
	at := listen(t, func(c net.Conn) {
		readHead(c)
		_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\n\r\n")
		_, _ = io.Copy(c, c)
	})
	ctx, cancel := context.WithCancel(t.Context())
	c, err := dial.New(slow, env(t)).Via(endpoint(t, proxy.HTTP, at, ""), proxy.Secret{}).Tunnel(ctx, target(t, "a.example:443"))
	cancel()
	halfClose(t, closing(t, c, err), "", "echo")
}

// TestDeadlineOfEachStep is mistake 10 of the field, in virtual time: without a
// context's help a silent proxy costs its step's deadline and nothing more.
func TestDeadlineOfEachStep(t *testing.T) {
	t.Parallel()
	for _, tt := range stalls {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				client, server := net.Pipe()
				got := make(chan string, 1)
				go func() { play(tt.turns, got, gone)(server); server.Close() }()
				ep, err := proxy.NewEndpoint(tt.protocol, "127.0.0.1", 9, "u")
				if err != nil {
					t.Fatal(err)
				}
				start := time.Now()
				_, err = dial.New(dial.Config{}, env(t)).Via(ep, proxy.Secret{}).TunnelOver(context.Background(), dial.NewConn(client), target(t, "a.example:443"))
				wantError(t, err, tt.stage, proxy.Timeout, 0)
				if took := time.Since(start); took != 5*time.Second {
					t.Errorf("it took %v, want the default of 5s", took)
				}
				if p := err.(*dial.Error).Phases; p.TLS+p.Handshake != 5*time.Second {
					t.Errorf("phases %+v, want the time that was lost", p)
				}
			})
		})
	}
}

// TestDripDoesNotExtendTheDeadline has a proxy that sends a byte a second.
func TestDripDoesNotExtendTheDeadline(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		client, server := net.Pipe()
		done := make(chan struct{})
		go func() {
			defer close(done)
			readHead(server)
			for _, b := range []byte("HTTP/1.1 200 OK\r\n\r\n") {
				if _, err := server.Write([]byte{b}); err != nil {
					return
				}
				time.Sleep(time.Second) // virtual
			}
		}()
		d := dial.New(dial.Config{}, env(t)).WithTimeouts(dial.Config{Handshake: 3500 * time.Millisecond})
		ep, err := proxy.Parse("http://127.0.0.1:9")
		if err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		_, err = d.Via(ep, proxy.Secret{}).TunnelOver(context.Background(), dial.NewConn(client), target(t, "a.example:443"))
		wantError(t, err, proxy.StageHandshake, proxy.Timeout, 0)
		if took := time.Since(start); took != 3500*time.Millisecond {
			t.Errorf("it took %v", took)
		}
		<-done
	})
}

// TestDeadlinesAreCleared lets a tunnel rest for a virtual day before it is used.
func TestDeadlinesAreCleared(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		client, server := net.Pipe()
		go func() {
			readHead(server)
			_, _ = io.WriteString(server, "HTTP/1.1 200 OK\r\n\r\n")
			time.Sleep(24 * time.Hour) // virtual
			_, _ = io.WriteString(server, "late")
			server.Close()
		}()
		ep, err := proxy.Parse("http://127.0.0.1:9")
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		c, err := dial.New(dial.Config{}, env(t)).Via(ep, proxy.Secret{}).TunnelOver(ctx, dial.NewConn(client), target(t, "a.example:443"))
		if err != nil {
			t.Fatal(err)
		}
		if b, err := io.ReadAll(c); err != nil || string(b) != "late" {
			t.Errorf("read %q, %v", b, err)
		}
		c.Close()
	})
}
