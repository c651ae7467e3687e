package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"freeway/lab"
)

// scanLab is a lab with some working upstreams and many that never answer, and
// the arguments that scan it with a time-out that no test waits for.
func scanLab(t *testing.T, working, silent int) []string {
	t.Helper()
	l := startLab(t, lab.Config{})
	var lines []string
	for range working {
		lines = append(lines, add(t, l, lab.Upstream{}).String())
	}
	for range silent {
		lines = append(lines, add(t, l, lab.Upstream{Behaviour: lab.Silent}).String())
	}
	list := filepath.Join(t.TempDir(), "list.txt")
	if err := os.WriteFile(list, []byte(strings.Join(lines, "\n")+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return []string{"scan", "--format", "txt", "--judge", l.JudgeHTTP(), "--judge", l.JudgeHTTPS(), "--judge-ca", caFile(t, l),
		"--allow-upstreams", "127.0.0.0/8", "--timeout", "5m", list}
}

// TestScanInterrupted: Ctrl-C keeps what was found.
func TestScanInterrupted(t *testing.T) {
	t.Parallel()
	args := scanLab(t, 3, 10)
	for _, tt := range []struct {
		name  string
		extra []string
		code  int
	}{{"plain", nil, 0}, {"min-live met", []string{"--min-live", "3"}, 0}, {"min-live unmet", []string{"--min-live", "4"}, 1}} {
		ctx, stop := context.WithCancel(t.Context())
		defer stop()
		var out, errs lockedBuffer
		done := make(chan int, 1)
		go func() {
			done <- run(ctx, append(args, tt.extra...), nil, strings.NewReader(""), &out, &errs)
		}()
		eventually(t, "three are found", func() bool { return strings.Count(out.String(), "\n") == 3 || len(done) > 0 })
		stop()
		if code := <-done; code != tt.code || strings.Count(out.String(), "http://127.") != 3 {
			t.Errorf("%s: exit code %d, want %d; stdout:\n%s\nstderr:\n%s", tt.name, code, tt.code, out.String(), errs.String())
		}
		if !strings.Contains(errs.String(), "3 live of 3 checked, interrupted") {
			t.Errorf("%s: stderr:\n%s", tt.name, errs.String())
		}
	}
}

// TestScanLimit: enough is enough, although others never answer.
func TestScanLimit(t *testing.T) {
	t.Parallel()
	code, out, errs := command(t, nil, append(scanLab(t, 4, 5), "--limit", "2")...)
	if code != 0 || strings.Count(out, "\n") != 2 {
		t.Errorf("scan --limit 2 = %d\n%s\n%s", code, out, errs)
	}
}

// TestScanStopsWhenNobodyReads: a broken pipe ends the scan.
func TestScanStopsWhenNobodyReads(t *testing.T) {
	t.Parallel()
	var errs lockedBuffer
	code := run(t.Context(), scanLab(t, 2, 5), nil, strings.NewReader(""), brokenPipe{}, &errs)
	if code != 1 || !strings.Contains(errs.String(), "broken pipe") {
		t.Errorf("scan into a broken pipe = %d, %s", code, errs.String())
	}
}

type brokenPipe struct{}

// Write fails.
func (brokenPipe) Write([]byte) (int, error) { return 0, os.NewSyscallError("write", errBrokenPipe) }

var errBrokenPipe = errors.New("broken pipe")
