package e2e_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"freeway/dial"
	"freeway/gateway"
	"freeway/internal/loopback"
	"freeway/pool"
	"freeway/proxy"
	"freeway/store"
)

// BenchmarkMillion is a gateway over a pool of a million and a real store. Eight
// clients ask one request after the other through upstreams that answer after 20 ms,
// in turns of ten seconds with 5,000 verdicts a second going into the pool and
// without. It takes FREEWAY_MILLION seconds, or 40, half of them with verdicts, and
// reports the 99th percentiles of what requests took.
func BenchmarkMillion(b *testing.B) {
	seconds, err := strconv.Atoi(os.Getenv("FREEWAY_MILLION"))
	if err != nil {
		seconds = 40
	}
	m := newMillion(b)
	for b.Loop() {
		var with, without []time.Duration
		n := 0
		for range max(seconds/20, 1) {
			without = append(without, m.turn(b, false)...)
			with = append(with, m.turn(b, true)...)
			n += 50_000
		}
		for name, took := range map[string][]time.Duration{"with": with, "without": without} {
			slices.Sort(took)
			b.ReportMetric(float64(took[len(took)/2].Microseconds())/1000, "ms-p50-"+name)
			b.ReportMetric(float64(took[len(took)*99/100].Microseconds())/1000, "ms-p99-"+name)
		}
		b.ReportMetric(float64(n), "verdicts")
	}
}

// bigPool is the pool of a million with its gateway.
type bigPool struct {
	p     *pool.Pool
	found []proxy.Candidate
	addr  string
	next  int
}

// newMillion makes everything; all addresses are of the loopback range.
func newMillion(b *testing.B) *bigPool {
	b.Helper()
	policy := proxy.NewAddrPolicy(netip.MustParsePrefix("127.0.0.0/8"))
	s, err := store.Open(filepath.Join(b.TempDir(), "f.db"), store.Options{})
	if err != nil {
		b.Fatal(err)
	}
	p, err := pool.Open(b.Context(), pool.Config{}, pool.Env{Store: s, Policy: policy})
	if err != nil {
		b.Fatal(err)
	}
	m := &bigPool{p: p, found: make([]proxy.Candidate, 1_000_000)}
	for i := range m.found {
		host := netip.AddrFrom4([4]byte{127, byte(16 + i>>16), byte(i >> 8), byte(i)}).String()
		m.found[i].Endpoint = proxy.Endpoint{Protocol: proxy.HTTP, Host: host, Port: 9}
	}
	var live []proxy.Candidate
	for i := range 40 {
		live = append(live, proxy.Candidate{Endpoint: upstream(b, fmt.Sprintf("127.0.1.%d:0", i+1))})
	}
	for i := range 10 {
		m.add(b, fmt.Sprint("list", i), m.found[i*100_000:(i+1)*100_000])
	}
	m.add(b, "good", live)
	for _, c := range live {
		m.report(c.Endpoint, proxy.OK)
	}
	g, err := gateway.Open(gateway.Config{Listen: "127.0.0.1:0"}, gateway.Env{Picker: p,
		Dialer: dial.New(dial.Config{}, dial.Env{Policy: policy, Control: loopback.Guard(b)})})
	if err != nil {
		b.Fatal(err)
	}
	if err := g.Listen(); err != nil {
		b.Fatal(err)
	}
	m.addr = g.Addr().String()
	ctx, stop := context.WithCancel(context.Background())
	var run sync.WaitGroup
	run.Go(func() { _ = p.Run(ctx) })
	run.Go(func() { _ = g.Run(ctx) })
	b.Cleanup(func() {
		stop()
		run.Wait()
		if err := s.Close(); err != nil {
			b.Error(err)
		}
	})
	return m
}

func (m *bigPool) add(b *testing.B, name string, found []proxy.Candidate) {
	b.Helper()
	if _, err := m.p.Add(b.Context(), name, found); err != nil {
		b.Fatal(err)
	}
}

// report is a verdict on one endpoint.
func (m *bigPool) report(ep proxy.Endpoint, class proxy.Class) {
	o := proxy.Outcome{Endpoint: ep, Stage: proxy.StageConnect, Class: class, Origin: proxy.FromCheck}
	if class == proxy.OK {
		o.Stage, o.Phases = proxy.StageVerify, proxy.Phases{FirstByte: 20 * time.Millisecond}
		o.Learned = &proxy.Traits{Forward: proxy.Yes, Tunnel: proxy.Yes, RemoteDNS: proxy.Yes, Anonymity: proxy.Elite, ExitIP: ep.Addr()}
	}
	m.p.Report(proxy.Verdict{Job: proxy.Job{Host: ep.Host, Port: ep.Port, Entries: []proxy.Entry{{Endpoint: ep}}}, Outcomes: []proxy.Outcome{o}})
}

// upstream is a proxy that answers every request after 20 ms.
func upstream(b *testing.B, addr string) proxy.Endpoint {
	b.Helper()
	l, err := net.Listen("tcp", addr)
	if err != nil {
		b.Skipf("this system has only one loopback address: %v", err)
	}
	var conns sync.WaitGroup
	conns.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			conns.Go(func() { answerSlowly(c) })
		}
	})
	b.Cleanup(func() { _ = l.Close(); conns.Wait() })
	ap := l.Addr().(*net.TCPAddr).AddrPort()
	return proxy.Endpoint{Protocol: proxy.HTTP, Host: ap.Addr().String(), Port: ap.Port()}
}

func answerSlowly(c net.Conn) {
	defer c.Close()
	r := bufio.NewReader(c)
	for {
		for {
			line, err := r.ReadString('\n')
			if err != nil {
				return
			}
			if line == "\r\n" {
				break
			}
		}
		time.Sleep(20 * time.Millisecond) // the way to the target and back
		if _, err := io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"); err != nil {
			return
		}
	}
}

// turn is ten seconds of requests, and returns what each took.
func (m *bigPool) turn(b *testing.B, verdicts bool) (all []time.Duration) {
	const clients, requests = 8, 450 // of about 22 ms each
	var run sync.WaitGroup
	if verdicts {
		run.Go(m.feed)
	}
	took := make(chan []time.Duration, clients)
	for range clients {
		go func() { took <- m.client(b, requests) }()
	}
	for range clients {
		all = append(all, <-took...)
	}
	run.Wait()
	if len(all) < clients*requests*9/10 {
		b.Fatalf("%d answers of %d", len(all), clients*requests)
	}
	return all
}

// feed gives the pool 50,000 verdicts in ten seconds.
func (m *bigPool) feed() {
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for range 5000 {
		<-tick.C
		for range 10 {
			m.report(m.found[m.next*7919%len(m.found)].Endpoint, proxy.Timeout)
			m.next++
		}
	}
}

// client asks n times, one after the other.
func (m *bigPool) client(b *testing.B, n int) (took []time.Duration) {
	c, err := net.Dial("tcp", m.addr)
	if err != nil {
		b.Error(err)
		return nil
	}
	defer c.Close()
	r := bufio.NewReader(c)
	for range n {
		began := time.Now()
		if _, err := io.WriteString(c, "GET http://www.example.com/ HTTP/1.1\r\nHost: www.example.com\r\n\r\n"); err != nil {
			b.Error(err)
			return took
		}
		if ok, err := answered(r); err != nil {
			b.Error(err)
			return took
		} else if ok {
			took = append(took, time.Since(began))
		}
	}
	return took
}

// answered reads an answer and reports whether it is a target's.
func answered(r *bufio.Reader) (bool, error) {
	status, err := r.ReadString('\n')
	if err != nil {
		return false, err
	}
	length := 0
	for line := ""; line != "\r\n"; {
		if line, err = r.ReadString('\n'); err != nil {
			return false, err
		}
		_, _ = fmt.Sscanf(line, "Content-Length: %d", &length)
	}
	_, err = io.CopyN(io.Discard, r, int64(length))
	return err == nil && len(status) > 12 && status[9:12] == "200", err
}
