//go:build unix

package e2e_test

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"syscall"
	"testing"
	"time"
)

// BenchmarkScanLarge scans 20,000 endpoints with 5,000 checks at a time, 60,000
// when FREEWAY_SCAN says so, in a process of its own: once with time-outs that
// are fixed and once with those that adapt. It reports the time compared with the
// unavoidable wait, what was missed, and the processor time and memory that the
// system has counted.
func BenchmarkScanLarge(b *testing.B) {
	n, err := strconv.Atoi(os.Getenv("FREEWAY_SCAN"))
	if err != nil {
		n = 20_000
	}
	s := newScanned(b, n)
	b.Run(fmt.Sprintf("%d/fixed", n), func(b *testing.B) { s.large(b, "--fixed-timeouts") })
	b.Run(fmt.Sprintf("%d/adaptive", n), func(b *testing.B) { s.large(b) })
}

// large is one scan, measured.
func (s *scanned) large(b *testing.B, args ...string) {
	const timeout, concurrency = 5 * time.Second, 5000
	unavoidable := time.Duration(s.waiting)*timeout/concurrency + timeout
	for b.Loop() {
		cmd := exec.CommandContext(b.Context(), binary, append(s.args(timeout, concurrency, append(args, "--format", "txt")...), s.list)...)
		var stderr bytes.Buffer
		cmd.Stderr = &stderr
		began := time.Now()
		out, err := cmd.Output()
		if err != nil {
			b.Fatalf("scan: %v\n%s", err, tail(stderr.String(), 2000))
		}
		wall := time.Since(began)
		got := readTXT(nil, out)
		missed := len(without(s.working, got))
		b.ReportMetric(wall.Seconds(), "s-wall")
		b.ReportMetric(wall.Seconds()/unavoidable.Seconds(), "of-unavoidable")
		b.ReportMetric(1-float64(missed)/float64(len(s.working)), "recall")
		b.ReportMetric(float64(len(without(got, s.working))), "wrong")
		u := cmd.ProcessState.SysUsage().(*syscall.Rusage)
		b.ReportMetric(cmd.ProcessState.UserTime().Seconds()+cmd.ProcessState.SystemTime().Seconds(), "cpu-s")
		b.ReportMetric(float64(u.Maxrss)/rssUnit(), "MB-peak")
	}
}

// rssUnit is how much of what the system counts memory in makes a megabyte.
func rssUnit() float64 {
	if runtime.GOOS == "darwin" {
		return 1e6
	}
	return 1e6 / 1024
}
