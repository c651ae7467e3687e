//go:build linux

package e2e_test

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
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
		var out bytes.Buffer
		cmd.Stdout = &out
		began := time.Now()
		if err := cmd.Start(); err != nil {
			b.Fatal(err)
		}
		peak := peakOf(cmd)
		if err := cmd.Wait(); err != nil {
			b.Fatalf("scan: %v\n%s", err, tail(stderr.String(), 2000))
		}
		wall := time.Since(began)
		got := readTXT(nil, out.Bytes())
		missed := len(without(s.working, got))
		b.ReportMetric(wall.Seconds(), "s-wall")
		b.ReportMetric(wall.Seconds()/unavoidable.Seconds(), "of-unavoidable")
		b.ReportMetric(1-float64(missed)/float64(len(s.working)), "recall")
		b.ReportMetric(float64(len(without(got, s.working))), "wrong")
		b.ReportMetric(cmd.ProcessState.UserTime().Seconds()+cmd.ProcessState.SystemTime().Seconds(), "cpu-s")
		b.ReportMetric(<-peak, "MB-peak")
	}
}

// peakOf sends the peak of a process's memory, in megabytes, when it has ended.
// What wait4 tells is no less than the memory of this process, which holds the
// lab: the child was a part of it until it ran the command.
func peakOf(cmd *exec.Cmd) <-chan float64 {
	peak := make(chan float64, 1)
	go func() {
		most := 0.0
		for {
			status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", cmd.Process.Pid))
			_, rest, ok := strings.Cut(string(status), "VmHWM:")
			if err != nil || !ok { // it has ended
				peak <- most
				return
			}
			if kb, err := strconv.ParseFloat(strings.Fields(rest)[0], 64); err == nil && strings.Contains(string(status), "Name:\tfreeway") {
				most = kb * 1024 / 1e6
			}
			time.Sleep(20 * time.Millisecond)
		}
	}()
	return peak
}
