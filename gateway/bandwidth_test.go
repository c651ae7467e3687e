package gateway_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"freeway/gateway"
	"freeway/proxy"
)

// TestBandwidthIsSharedFairly: whoever has bytes to pass on gets as much as the
// others, however large its writes are and whoever came first.
func TestBandwidthIsSharedFairly(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const perSecond, seconds = 256 << 10, 10
		part, _ := gateway.NewBandwidth(perSecond)
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		var moved [4]int
		for i, size := range []int{128 << 10, 32 << 10, 2 << 10, 128 << 10} {
			p := part(ctx)
			wg.Go(func() {
				for {
					n, err := p.Write(make([]byte, size), func(b []byte) (int, error) { return len(b), nil })
					moved[i] += n
					if err != nil {
						return
					}
				}
			})
		}
		time.Sleep(seconds * time.Second)
		cancel()
		wg.Wait()
		total := 0
		for i, n := range moved {
			total += n
			if share := perSecond * seconds / len(moved); n < share*4/10 || n > share*14/10 {
				t.Errorf("writer %d moved %d bytes, want about %d", i, n, share)
			}
		}
		if most := perSecond*seconds + perSecond/8 + 4*(64<<10); total > most || total < perSecond*(seconds-1) {
			t.Errorf("all moved %d bytes in %d s, want about %d", total, seconds, perSecond*seconds)
		}
	})
}

// TestBandwidthAlone: one that has nobody beside it gets all, and silence is
// not saved up.
func TestBandwidthAlone(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const perSecond = 1 << 20
		part, change := gateway.NewBandwidth(perSecond)
		p := part(t.Context())
		count := func(b []byte) (int, error) { return len(b), nil }
		time.Sleep(time.Hour)
		for _, tt := range []struct{ rate, seconds int }{{perSecond, 10}, {perSecond / 4, 40}, {2 * perSecond, 5}} {
			change(proxy.Size(tt.rate))
			began := time.Now()
			if _, err := p.Write(make([]byte, 10<<20), count); err != nil {
				t.Fatal(err)
			}
			if took := time.Since(began).Seconds(); took < .95*float64(tt.seconds)-.2 || took > 1.05*float64(tt.seconds) {
				t.Errorf("10 MiB at %d bytes/s took %.2f s, want %d", tt.rate, took, tt.seconds)
			}
		}
		change(0)
		began := time.Now()
		if _, err := p.Write(make([]byte, 10<<20), count); err != nil || time.Since(began) > time.Second {
			t.Errorf("without the cap: %v after %v", err, time.Since(began))
		}
	})
}

// TestBandwidthWaitEnds: who waits is woken when its request ends.
func TestBandwidthWaitEnds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		part, _ := gateway.NewBandwidth(1 << 10)
		ctx, cancel := context.WithCancel(t.Context())
		began := time.Now()
		time.AfterFunc(3*time.Second, cancel)
		n, err := part(ctx).Write(make([]byte, 1<<20), func(b []byte) (int, error) { return len(b), nil })
		if took := time.Since(began); !errors.Is(err, context.Canceled) || took > 4*time.Second || n == 0 || n > 8<<10 {
			t.Errorf("%d bytes, %v after %v; want an end after 3 s", n, err, took)
		}
	})
}

// TestBandwidthOfUsers: the cap of a user holds for plain answers, for bodies and
// for tunnels, up and down. How long it takes at least follows from the cap.
func TestBandwidthOfUsers(t *testing.T) {
	t.Parallel()
	const size, perSecond = 24 << 10, 64 << 10
	const least = (size - perSecond/8) * time.Second / perSecond
	body := strings.Repeat("x", size)
	plain := upstream(t, proxy.HTTP, func(c *wire) {
		lines := c.head()
		if len(lines) > 0 && strings.HasPrefix(lines[0], "CONNECT") {
			_, _ = io.WriteString(c.Conn, "HTTP/1.1 200 OK\r\n\r\n")
			if _, err := io.CopyN(io.Discard, c.r, 1); err == nil {
				_, _ = io.WriteString(c.Conn, body)
				_, _ = io.Copy(io.Discard, c.r)
			}
			return
		}
		_, _ = io.WriteString(c.Conn, "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: "+strconv.Itoa(size)+"\r\n\r\n"+body)
	})
	users := []gateway.User{{Name: "slow", Password: password(""), Bandwidth: perSecond}, {Name: "fast", Password: password("")}}
	r := newRig(t, gateway.Config{Users: users}, plain)
	began := time.Now()
	if status, _ := r.ask("http://example.com/", "slow:", ""); status != http.StatusOK || time.Since(began) < least {
		t.Errorf("a plain answer: %d after %v, want %v at least", status, time.Since(began), least)
	}
	began = time.Now()
	w := r.conn()
	w.send("CONNECT 127.0.0.1:9 HTTP/1.1\r\nHost: x\r\nProxy-Authorization: Basic c2xvdzo=\r\n\r\n")
	w.answer("CONNECT")
	w.send("?")
	if _, err := io.CopyN(io.Discard, w.r, size); err != nil || time.Since(began) < least {
		t.Errorf("down a tunnel: %v after %v, want %v at least", err, time.Since(began), least)
	}
	w.send(body)
	_ = w.Conn.(interface{ CloseWrite() error }).CloseWrite()
	w.rest()
	if took := time.Since(began); took < 2*least {
		t.Errorf("up the tunnel: %v after the beginning, want %v at least", took, 2*least)
	}
	for _, tr := range []int{1, 2} {
		if got := r.p.trace(t, tr); got.Code != "" {
			t.Errorf("request %d ended with %q", tr, got.Code)
		}
	}
	if status, _ := r.ask("http://example.com/", "fast:", ""); status != http.StatusOK {
		t.Errorf("a user without a cap: %d", status)
	}
}

// TestBandwidthChangesLive: what runs follows the cap that a reload brings.
func TestBandwidthChangesLive(t *testing.T) {
	t.Parallel()
	const size = 1 << 20 // takes a quarter of an hour at first
	up := granting(t, func(c *wire) { _, _ = io.WriteString(c.Conn, strings.Repeat("x", size)) })
	cfg := gateway.Config{Listen: "127.0.0.1:0", Users: []gateway.User{{Name: "bob", Password: password(""), Bandwidth: 1 << 10}}}
	for name, cap := range map[string]proxy.Size{"higher": 1 << 30, "none": 0} {
		r := newRig(t, cfg, up)
		w := r.conn()
		w.send("CONNECT 127.0.0.1:9 HTTP/1.1\r\nHost: x\r\nProxy-Authorization: Basic Ym9iOg==\r\n\r\n")
		w.answer("CONNECT")
		if _, err := io.CopyN(io.Discard, w.r, 100); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		next := cfg
		next.Users = []gateway.User{{Name: "bob", Password: password(""), Bandwidth: cap}}
		if err := r.g.Apply(next); err != nil {
			t.Fatal(err)
		}
		if _, err := io.CopyN(io.Discard, w.r, size-100); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestBandwidthPerClient: per_client holds for addresses where nobody logs in.
func TestBandwidthPerClient(t *testing.T) {
	t.Parallel()
	const size, perSecond = 16 << 10, 64 << 10
	up := answering(t, proxy.HTTP, "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: "+strconv.Itoa(size)+"\r\n\r\n"+strings.Repeat("x", size))
	r := newRig(t, gateway.Config{PerClient: gateway.ClientLimits{Bandwidth: perSecond}}, up)
	began := time.Now()
	if status, _ := r.ask("http://example.com/", "", ""); status != 200 || time.Since(began) < (size-perSecond/8)*time.Second/perSecond {
		t.Errorf("%d after %v", status, time.Since(began))
	}
}
