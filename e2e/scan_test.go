package e2e_test

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"freeway/lab"
	"freeway/proxy"
)

// scanned is a lab full of endpoints to scan, and what a scan should find.
type scanned struct {
	lab     *lab.Lab
	list    string
	ca      string
	working []string
	waiting int // endpoints that cost a whole time-out each
}

// population is one in ten working, the rest dead in the ways of public lists.
func population() []lab.Share {
	http, socks := []proxy.Protocol{proxy.HTTP}, []proxy.Protocol{proxy.HTTP, proxy.SOCKS4, proxy.SOCKS5}
	const latency = 300 * time.Millisecond
	return []lab.Share{
		{Behaviour: lab.Healthy, Weight: 8, Protocols: socks, Latency: latency}, {Behaviour: lab.Transparent, Weight: 2, Protocols: http, Latency: latency},
		{Behaviour: lab.Refused, Weight: 40, Protocols: socks}, {Behaviour: lab.Silent, Weight: 20, Protocols: socks}, {Behaviour: lab.SilentConnect, Weight: 10, Protocols: socks},
		{Behaviour: lab.Garbage, Weight: 10, Protocols: socks}, {Behaviour: lab.Slow, Weight: 10, Protocols: socks},
	}
}

func newScanned(tb testing.TB, n int) *scanned {
	tb.Helper()
	l, err := lab.Start(tb.Context(), lab.Config{Seed: 42, Upstreams: n, Mix: population()})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { l.Close() })
	s := &scanned{lab: l, list: filepath.Join(tb.TempDir(), "list.txt"), ca: filepath.Join(tb.TempDir(), "ca.pem")}
	var b strings.Builder
	for _, e := range l.Truth() {
		fmt.Fprintln(&b, e.Endpoint)
		switch {
		case e.Up:
			s.working = append(s.working, e.Endpoint.String())
		case e.Behaviour == lab.Silent || e.Behaviour == lab.SilentConnect || e.Behaviour == lab.Slow:
			s.waiting++
		}
	}
	slices.Sort(s.working)
	if err := os.WriteFile(s.list, []byte(b.String()), 0o600); err != nil {
		tb.Fatal(err)
	}
	if err := os.WriteFile(s.ca, l.CAPEM(), 0o600); err != nil {
		tb.Fatal(err)
	}
	return s
}

// args is the command line without the list.
func (s *scanned) args(timeout time.Duration, concurrency int, more ...string) []string {
	return append([]string{"scan", "--judge", s.lab.JudgeHTTP(), "--judge", s.lab.JudgeHTTPS(), "--judge-ca", s.ca, "--allow-upstreams", "127.0.0.0/8", "--rate", "0",
		"--timeout", timeout.String(), "--connect-timeout", timeout.String(), "--concurrency", fmt.Sprint(concurrency)}, more...)
}

// scan runs the command and returns its standard output.
func (s *scanned) scan(tb testing.TB, timeout time.Duration, concurrency int, args ...string) []byte {
	tb.Helper()
	args = s.args(timeout, concurrency, args...)
	cmd := exec.CommandContext(tb.Context(), binary, append(args, s.list)...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		tb.Fatalf("freeway %s: %v\n%s", strings.Join(args, " "), err, tail(stderr.String(), 2000))
	}
	return out
}

// TestScan: exactly the working ones are found, and every format says the same.
func TestScan(t *testing.T) {
	t.Parallel()
	s := newScanned(t, 300)
	want := s.working
	for format, read := range map[string]func(*testing.T, []byte) []string{"txt": readTXT, "ndjson": readNDJSON, "json": readJSON, "csv": readCSV} {
		t.Run(format, func(t *testing.T) {
			t.Parallel()
			got := read(t, s.scan(t, 4*time.Second, 60, "--format", format))
			slices.Sort(got)
			if !slices.Equal(got, want) {
				t.Errorf("found %d, want %d; missing %v, too many %v", len(got), len(want), without(want, got), without(got, want))
			}
		})
	}
}

func without(a, b []string) []string {
	return slices.DeleteFunc(slices.Clone(a), func(s string) bool { return slices.Contains(b, s) })
}

type row struct{ URL, State string }

func urls(rows []row) []string {
	var out []string
	for _, r := range rows {
		out = append(out, r.URL)
	}
	return out
}

func readTXT(_ *testing.T, b []byte) []string { return strings.Fields(string(b)) }

func readNDJSON(t *testing.T, b []byte) []string {
	var rows []row
	for line := range bytes.Lines(b) {
		var r row
		if err := json.Unmarshal(line, &r); err != nil {
			t.Errorf("line %q: %v", line, err)
		}
		rows = append(rows, r)
	}
	return urls(rows)
}

func readJSON(t *testing.T, b []byte) []string {
	var rows []row
	if err := json.Unmarshal(b, &rows); err != nil {
		t.Errorf("json: %v", err)
	}
	return urls(rows)
}

func readCSV(t *testing.T, b []byte) []string {
	all, err := csv.NewReader(bytes.NewReader(b)).ReadAll()
	if err != nil || len(all) == 0 {
		t.Errorf("csv: %d rows, %v", len(all), err)
		return nil
	}
	col := slices.Index(all[0], "url")
	var out []string
	for _, r := range all[1:] {
		out = append(out, r[col])
	}
	return out
}

// BenchmarkScan scans 5,000 endpoints and compares with the unavoidable wait:
// the time-outs of those that never answer, divided by the concurrency, plus one.
func BenchmarkScan(b *testing.B) {
	const timeout, concurrency = 5 * time.Second, 500
	s := newScanned(b, 5000)
	unavoidable := time.Duration(s.waiting)*timeout/concurrency + timeout
	for b.Loop() {
		began := time.Now()
		got := readTXT(nil, s.scan(b, timeout, concurrency, "--format", "txt"))
		b.ReportMetric(time.Since(began).Seconds()/unavoidable.Seconds(), "of-unavoidable")
		b.ReportMetric(float64(len(without(s.working, got))), "missed")
		b.ReportMetric(float64(len(without(got, s.working))), "wrong")
	}
	b.ReportMetric(unavoidable.Seconds(), "s-unavoidable")
}
