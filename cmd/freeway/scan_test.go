package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
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

// TestScanOfALongList: of a list that is longer than what is read ahead, every proxy is
// checked once and printed once, wherever and however often it stands, and what the
// inputs say at the end is said.
func TestScanOfALongList(t *testing.T) {
	t.Parallel()
	l := startLab(t, lab.Config{})
	working := []string{add(t, l, lab.Upstream{}).String(), add(t, l, lab.Upstream{}).String(), add(t, l, lab.Upstream{}).String()}
	port := deadPort(t)
	var lines []string
	for i := range 6000 { // each stands there twice, the second time long after the first
		lines = append(lines, fmt.Sprintf("http://127.9.%d.%d:%d", i%3000/250, i%250+1, port))
	}
	for i, at := range []int{0, 2999, 5999} {
		lines[at] = working[i]
	}
	lines = append(lines, working...)
	lines = append(lines, strings.TrimPrefix(working[0], "http://")) // without a protocol it says nothing new
	list := filepath.Join(t.TempDir(), "list.txt")
	if err := os.WriteFile(list, []byte(strings.Join(lines, "\n")+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	missing := filepath.Join(t.TempDir(), "missing.txt")
	var out, errs lockedBuffer
	a := &app{stdin: strings.NewReader(""), stdout: &out, stderr: &errs, ahead: 100}
	args := []string{"scan", "--format", "txt", "--judge", l.JudgeHTTP(), "--judge", l.JudgeHTTPS(), "--judge-ca", caFile(t, l),
		"--allow-upstreams", "127.0.0.0/8", "--rate", "0"}
	code := a.run(t.Context(), append(args, list, missing))
	var more lockedBuffer
	a = &app{stdin: strings.NewReader(""), stdout: io.Discard, stderr: &more, ahead: 100}
	if code := a.run(t.Context(), append(args, list)); code != 0 || !strings.Contains(more.String(), "scanning about ") || !strings.Contains(more.String(), "3 live of 3002 checked") {
		t.Errorf("without the missing one: exit code %d\n%s", code, more.String())
	}
	found := strings.Fields(out.String())
	slices.Sort(found)
	slices.Sort(working)
	if code != 1 || !slices.Equal(found, working) {
		t.Errorf("exit code %d, want 1; found %v, want %v", code, found, working)
	}
	for _, want := range []string{"scanning more than 1000 proxies with 2 judges", "3 live of 3002 checked", "missing.txt: no such file"} {
		if !strings.Contains(errs.String(), want) {
			t.Errorf("no %q in stderr:\n%s", want, errs.String())
		}
	}
}

// deadPort is a port on which nothing listens.
func deadPort(t *testing.T) int {
	t.Helper()
	c, err := net.Listen("tcp", "0.0.0.0:0")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	return c.Addr().(*net.TCPAddr).Port
}
