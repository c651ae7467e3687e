//go:build unix

package checker_test

import (
	"io"
	"net"
	"runtime"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"freeway/checker"
	"freeway/dial"
	"freeway/internal/loopback"
	"freeway/lab"
	"freeway/proxy"
)

// BenchmarkDead measures what finding out costs that a candidate is dead:
// connections, bytes sent, CPU time, and memory while a silent one is waited for.
// Those that answer are served by this very process, which is in their CPU time.
func BenchmarkDead(b *testing.B) {
	var bytes atomic.Int64
	take := func(c net.Conn) int { // counts what one message has
		n, _ := c.Read(make([]byte, 4096))
		bytes.Add(int64(n))
		return n
	}
	drain := func(c net.Conn) {
		for take(c) > 0 {
		}
	}
	for _, tt := range []struct {
		name   string
		script func(net.Conn) // nil: nobody takes the connection
		closed bool
	}{
		{name: "refused", closed: true},
		{name: "silent"},
		{name: "silent-counted", script: drain},
		{name: "banner", script: func(c net.Conn) { io.WriteString(c, "SSH-2.0-x\r\n"); drain(c) }},
		{name: "hangs-up", script: func(c net.Conn) { take(c) }},
		{name: "web-server", script: func(c net.Conn) {
			take(c)
			io.WriteString(c, "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
		}},
	} {
		for _, listed := range []string{"as-http", "as-socks5", "without-protocol"} {
			b.Run(tt.name+"/"+listed, func(b *testing.B) {
				bytes.Store(0)
				dead(b, listed, deadAddress(b, tt.script, tt.closed), &bytes)
			})
		}
	}
}

// deadAddress is where nothing listens, or somebody does who follows a script.
func deadAddress(b *testing.B, script func(net.Conn), closed bool) proxy.Endpoint {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	if closed {
		ln.Close()
	} else {
		b.Cleanup(func() { ln.Close() })
	}
	if script != nil {
		go func() {
			for {
				c, err := ln.Accept()
				if err != nil {
					return
				}
				go func() {
					defer c.Close()
					script(c)
				}()
			}
		}()
	}
	ep, err := proxy.Parse("http://" + ln.Addr().String())
	if err != nil {
		b.Fatal(err)
	}
	return ep
}

// How many are tested at the same time, for the backlog of a listener takes so
// many, and how many times over.
const (
	deadSize   = 1000
	deadRounds = 4
)

func dead(b *testing.B, listed string, ep proxy.Endpoint, bytes *atomic.Int64) {
	l, err := lab.Start(b.Context(), lab.Config{})
	if err != nil {
		b.Fatal(err)
	}
	defer l.Close()
	var dials, total atomic.Int64
	change := guess
	if listed != "without-protocol" {
		change = checked // the first check may look for more protocols
	}
	if listed == "as-socks5" {
		ep.Protocol = proxy.SOCKS5
	}
	var cpu time.Duration
	memory := 0.0
	for b.Loop() {
		q := newQueue()
		for range deadRounds * deadSize {
			q.jobs = append(q.jobs, jobOf(ep, change))
		}
		c, err := checker.Open(checker.Config{Concurrency: deadSize, Timeout: time.Second, ConnectTimeout: time.Second,
			Judges: []checker.Judge{{URL: l.JudgeHTTP()}, {URL: l.JudgeHTTPS()}}},
			checker.Env{Queue: q, Roots: l.Roots(), Dialer: dial.New(dial.Config{}, dial.Env{Policy: labPolicy,
				Control: func(network, addr string, c syscall.RawConn) error {
					dials.Add(1)
					return loopback.Control(network, addr, c)
				}})})
		if err != nil {
			b.Fatal(err)
		}
		before, base := cpuTime(b), inUse()
		sampled := make(chan float64, 1)
		time.AfterFunc(500*time.Millisecond, func() { sampled <- inUse() - base }) // the silent ones all wait by then
		if err := c.Run(b.Context()); err != nil {
			b.Fatal(err)
		}
		cpu += cpuTime(b) - before
		memory = <-sampled
		total.Add(deadRounds * deadSize)
	}
	n := float64(total.Load())
	b.ReportMetric(float64(dials.Load())/n, "dials/candidate")
	b.ReportMetric(float64(bytes.Load())/n, "B-sent/candidate")
	b.ReportMetric(float64(cpu.Microseconds())/n, "cpu-µs/candidate")
	b.ReportMetric(memory/deadSize, "B-waiting/candidate")
}

// cpuTime is what this process has used so far.
func cpuTime(b *testing.B) time.Duration {
	var r syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &r); err != nil {
		b.Fatal(err)
	}
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}

// inUse is the memory of this process's objects and stacks, in bytes.
func inUse() float64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return float64(m.HeapAlloc + m.StackInuse)
}
