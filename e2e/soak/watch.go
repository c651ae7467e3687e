package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

// level is what may not grow.
type level struct{ goroutines, descriptors int }

// sample is one look at the server.
type sample struct {
	at    time.Duration // since the measured time began
	level level
	heap  float64 // bytes that are left right after a collection
	rss   float64 // bytes
}

// look takes a sample. The heap is read by the handler that has just run a
// whole collection, so garbage is not in it.
func (s *bench) look() (sample, error) {
	x := sample{at: time.Since(s.zero)}
	text, err := s.get("/debug/pprof/heap?gc=1&debug=1")
	if err != nil {
		return x, err
	}
	if x.heap = after(text, "# HeapAlloc = "); x.heap == 0 {
		return x, fmt.Errorf("the heap profile does not say how large the heap is")
	}
	if text, err = s.get("/metrics"); err != nil {
		return x, err
	}
	x.level.goroutines = int(metric(text, "go_goroutines", ""))
	pid := s.server.cmd.Process.Pid
	fds, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
	if err != nil {
		return x, err
	}
	x.level.descriptors = len(fds)
	statm, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
	if f := strings.Fields(string(statm)); err == nil && len(f) > 1 {
		pages, _ := strconv.ParseFloat(f[1], 64)
		x.rss = pages * float64(os.Getpagesize())
	}
	return x, err
}

// after returns the number behind a word at the beginning of a line.
func after(text []byte, word string) float64 {
	i := bytes.LastIndex(text, []byte("\n"+word))
	if i < 0 {
		return 0
	}
	line, _, _ := bytes.Cut(text[i+1+len(word):], []byte("\n"))
	v, _ := strconv.ParseFloat(string(line), 64)
	return v
}

// rest takes samples without load and returns the highest of each.
func (s *bench) rest(ctx context.Context, n int) (top level, err error) {
	for range n {
		x, err := s.look()
		if err != nil {
			return top, err
		}
		top.goroutines, top.descriptors = max(top.goroutines, x.level.goroutines), max(top.descriptors, x.level.descriptors)
		select {
		case <-ctx.Done():
			return top, ctx.Err()
		case <-time.After(time.Second):
		}
	}
	return top, nil
}

// slack is what may be above the level without load: checks and kept
// connections come and go. Each kind of load is repeated far more often.
const slack = 6

// settle waits until the server is back at its level, for three minutes at
// most, and returns the lowest that was seen.
func (s *bench) settle(ctx context.Context) (level, error) {
	low := level{1 << 30, 1 << 30}
	for range 180 {
		x, err := s.look()
		if err != nil {
			return low, err
		}
		low.goroutines, low.descriptors = min(low.goroutines, x.level.goroutines), min(low.descriptors, x.level.descriptors)
		if low.goroutines <= s.before.goroutines+slack && low.descriptors <= s.before.descriptors+slack {
			return low, nil
		}
		select {
		case <-ctx.Done():
			return low, ctx.Err()
		case <-time.After(time.Second):
		}
	}
	return low, nil
}

// keepSamples writes what was measured beside the log.
func (s *bench) keepSamples() {
	var b bytes.Buffer
	b.WriteString("seconds,heap,rss,goroutines,descriptors\n")
	for _, x := range s.samples {
		fmt.Fprintf(&b, "%.1f,%.0f,%.0f,%d,%d\n", x.at.Seconds(), x.heap, x.rss, x.level.goroutines, x.level.descriptors)
	}
	s.complain(os.WriteFile(filepath.Join(s.dir, "samples.csv"), b.Bytes(), 0o644))
}

// watch takes samples until ctx ends, and prints some of them. The least of many
// samples in a minute has less of what just passes through than that of a few.
func (s *bench) watch(ctx context.Context) {
	tick := time.NewTicker(max(time.Second/2, s.o.load/1200))
	defer tick.Stop()
	show := max(5*time.Second, s.o.load/40)
	var shown time.Time
	var was summary
	for {
		x, err := s.look()
		if err != nil && ctx.Err() == nil {
			note(s.tally.began, "no sample: %v", err)
		} else if err == nil && x.at >= 0 {
			s.samples = append(s.samples, x)
		}
		if err == nil && time.Since(shown) >= show {
			now := s.tally.sum()
			note(s.tally.began, "%6.1f/s  %5.2f %% right  p99 %5v  %5d goroutines  %5d descriptors  heap %6.2f MiB  rss %5.1f MiB",
				float64(now.right-was.right)/time.Since(shown).Seconds(), 100*now.since(was), s.tally.recent().Round(time.Millisecond), x.level.goroutines, x.level.descriptors, x.heap/(1<<20), x.rss/(1<<20))
			shown, was = time.Now(), now
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// calm holds back new requests now and then. What is under way then is not much,
// and the heap shows what is kept. Its zero value lets all go.
type calm struct{ hold atomic.Pointer[chan struct{}] }

// wait returns when requests may begin, or when ctx has ended.
func (c *calm) wait(ctx context.Context) {
	if over := c.hold.Load(); over != nil {
		select {
		case <-*over:
		case <-ctx.Done():
		}
	}
}

// calms makes a calm in the middle of each block of the measured time, long
// enough for nearly all that is under way.
func (s *bench) calms(ctx context.Context) {
	block := (s.o.load - s.o.load/5) / blocks
	lasts := min(5*time.Second, block/8)
	timer := time.NewTimer(block/2 - lasts/2)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		over := make(chan struct{})
		s.calm.hold.Store(&over)
		select {
		case <-ctx.Done():
		case <-time.After(lasts):
		}
		s.calm.hold.Store(nil)
		close(over)
		timer.Reset(block - lasts)
	}
}
