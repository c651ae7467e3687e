package main

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"runtime/pprof"
	"slices"
	"syscall"
	"time"

	"github.com/google/pprof/profile"

	"freeway/dial"
	"freeway/gateway"
	"freeway/pool"
	"freeway/proxy"
)

const (
	upstreams = 8
	bodySize  = 1024
)

// serveUpstreams serves clean upstreams that answer at once, and prints where.
func serveUpstreams() error {
	var at []byte
	for range upstreams {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return err
		}
		at = fmt.Appendf(at, "%s ", l.Addr())
		go func() {
			for {
				c, err := l.Accept()
				if err != nil {
					return
				}
				go serveUpstream(c)
			}
		}()
	}
	fmt.Println(string(bytes.TrimSpace(at)))
	waitForEnd()
	return nil
}

// serveUpstream answers GET with a small body, and in a tunnel a ClientHello
// with what looks like the server's, or "bulk" with data until the client leaves.
func serveUpstream(c net.Conn) {
	defer c.Close()
	r := bufio.NewReaderSize(c, 2048)
	answer := append([]byte("HTTP/1.1 200 OK\r\nDate: Wed, 25 Nov 2026 10:00:00 GMT\r\nServer: origin\r\nContent-Type: text/plain\r\nContent-Length: 1024\r\n\r\n"), bytes.Repeat([]byte{'x'}, bodySize)...)
	for {
		first, err := readHead(r)
		if err != nil {
			return
		}
		if !bytes.HasPrefix(first, []byte("CONNECT ")) {
			if _, err := c.Write(answer); err != nil {
				return
			}
			continue
		}
		if _, err := c.Write([]byte("HTTP/1.1 200 OK\r\n\r\n")); err != nil {
			return
		}
		serveTunnel(c, r)
		return
	}
}

// serveTunnel is the target's side of a tunnel.
func serveTunnel(c net.Conn, r *bufio.Reader) {
	b, err := r.Peek(5)
	if err != nil {
		return
	}
	if b[0] != 0x16 {
		data := make([]byte, 256<<10)
		for {
			if _, err := c.Write(data); err != nil {
				return
			}
		}
	}
	if _, err := r.Discard(5 + int(b[3])<<8 + int(b[4])); err != nil {
		return
	}
	hello := append([]byte{0x16, 3, 3, bodySize >> 8, 0, 2, 0, (bodySize - 4) >> 8, (bodySize - 4) & 0xff}, make([]byte, bodySize-4)...)
	_, _ = c.Write(hello)
	_, _ = r.ReadByte() // until the client leaves
}

// readHead reads up to the empty line and returns the first line.
func readHead(r *bufio.Reader) ([]byte, error) {
	var first []byte
	for {
		line, err := r.ReadSlice('\n')
		if err != nil {
			return nil, err
		}
		switch {
		case first == nil:
			first = append(first, line...)
		case len(line) <= 2:
			return first, nil
		}
	}
}

// serveGateway serves a gateway over a pool in which the upstreams are live.
// SIGUSR1 gives memory that is not used back, as the runtime does by itself in time.
func serveGateway(profileTo string, addrs []string) error {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	policy := proxy.NewAddrPolicy(netip.MustParsePrefix("127.0.0.0/8"))
	p, err := pool.Open(ctx, pool.Config{}, pool.Env{Policy: policy})
	if err != nil {
		return err
	}
	if err := fill(ctx, p, addrs); err != nil {
		return err
	}
	g, err := gateway.Open(gateway.Config{Listen: "127.0.0.1:0", Rotation: "round-robin", Timeouts: gateway.Timeouts{Warmup: time.Second}}, gateway.Env{Picker: p, Targets: policy,
		Dialer: dial.New(dial.Config{}, dial.Env{Policy: policy})})
	if err != nil {
		return err
	}
	if err := g.Listen(); err != nil {
		return err
	}
	if profileTo != "" {
		var b bytes.Buffer
		if err := pprof.StartCPUProfile(&b); err != nil {
			return err
		}
		defer func() {
			pprof.StopCPUProfile()
			if err := saveProfile(profileTo, &b); err != nil {
				fmt.Fprintln(os.Stderr, err)
			}
		}()
	}
	collect := make(chan os.Signal, 1)
	signal.Notify(collect, syscall.SIGUSR1)
	go func() {
		for range collect {
			debug.FreeOSMemory()
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			fmt.Fprintf(os.Stderr, "heap %d KiB, stacks %d KiB, goroutines %d\n", m.HeapAlloc>>10, m.StackInuse>>10, runtime.NumGoroutine())
		}
	}()
	fmt.Println(g.Addr())
	go func() { waitForEnd(); cancel() }()
	return g.Run(ctx)
}

// guiding is the share of the time that is kept of a profile, in the stacks that took most.
// The whole lets the compiler copy what ran once, too: 108 KB of program instead of 66, and no faster.
const guiding = 0.8

// saveProfile writes a profile as a build is guided by it (go build -pgo): the stacks seen
// most, without what is only of the machine and the moment, the program's path and build and
// the time.
func saveProfile(path string, from io.Reader) error {
	p, err := profile.Parse(from)
	if err != nil {
		return err
	}
	const nanos = 1 // of the values of a sample of a CPU profile: how many, nanoseconds
	slices.SortStableFunc(p.Sample, func(a, b *profile.Sample) int { return cmp.Compare(b.Value[nanos], a.Value[nanos]) })
	var all, sum int64
	for _, s := range p.Sample {
		all += s.Value[nanos]
	}
	for i, s := range p.Sample {
		if sum += s.Value[nanos]; float64(sum) >= guiding*float64(all) {
			p.Sample = p.Sample[:i+1]
			break
		}
	}
	for _, m := range p.Mapping {
		m.File, m.BuildID = "", ""
	}
	p.TimeNanos = 0
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer f.Close()
	return p.Compact().Write(f)
}

// fill makes the upstreams live, as checks would.
func fill(ctx context.Context, p *pool.Pool, addrs []string) error {
	for i, a := range addrs {
		ap, err := netip.ParseAddrPort(a)
		if err != nil {
			return err
		}
		ep, err := proxy.NewEndpoint(proxy.HTTP, ap.Addr().String(), ap.Port(), "")
		if err != nil {
			return err
		}
		if _, err := p.Add(ctx, "bench", []proxy.Candidate{{Endpoint: ep}}); err != nil {
			return err
		}
		exit := netip.AddrFrom4([4]byte{192, 0, byte(i), 1})
		p.Report(proxy.Verdict{Job: proxy.Job{Host: ep.Host, Port: ep.Port}, Outcomes: []proxy.Outcome{{Endpoint: ep, Stage: proxy.StageVerify,
			Phases:  proxy.Phases{FirstByte: time.Millisecond},
			Learned: &proxy.Traits{Forward: proxy.Yes, Tunnel: proxy.Yes, TunnelAny: proxy.Yes, RemoteDNS: proxy.Yes, ExitIP: exit}}}})
	}
	return nil
}

// waitForEnd waits for a signal, or for the end of the bench that started this.
func waitForEnd() {
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM, os.Interrupt)
	eof := make(chan struct{})
	go func() {
		defer close(eof)
		var b [1]byte
		_, _ = os.Stdin.Read(b[:])
	}()
	select {
	case <-stop:
	case <-eof:
	}
}
