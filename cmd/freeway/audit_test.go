package main

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"freeway/gateway"
	"freeway/proxy"
)

// recorder is a Picker that counts records.
type recorder struct {
	gateway.Picker
	n int
}

func (r *recorder) Record(proxy.Trace) { r.n++ }

func trace(t *testing.T) proxy.Trace {
	t.Helper()
	ep, err := proxy.Parse("socks5://bob@198.51.100.7:1080")
	if err != nil {
		t.Fatal(err)
	}
	target, err := proxy.ParseTarget("www.example.com:443", 0)
	if err != nil {
		t.Fatal(err)
	}
	return proxy.Trace{ID: "r1", At: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), Client: netip.MustParseAddr("127.0.0.1"), User: "ann", Method: "CONNECT",
		Target: target, Status: 200, Up: 10, Down: 20, Took: 1500 * time.Millisecond,
		Attempts: []proxy.Attempt{{Endpoint: ep, Stage: proxy.StageConnect, Class: proxy.Timeout, Took: time.Second},
			{Endpoint: ep, Exit: netip.MustParseAddr("198.51.100.8"), Country: "DE", Stage: proxy.StageTunnel}}}
}

func TestAuditWritesALinePerRequest(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "audit.log")
	_, metrics := newRegistry()
	log, err := openAudit(path, slog.New(slog.DiscardHandler), metrics.auditLost)
	if err != nil {
		t.Fatal(err)
	}
	rec := &recorder{}
	picker := auditPicker{rec, log}
	for range 3 {
		picker.Record(trace(t))
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel() // what waits is written all the same
	if err := log.run(ctx); err != nil {
		t.Errorf("run = %v", err)
	}
	if err := log.close(); err != nil || log.close() != nil {
		t.Errorf("close = %v", err)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	want := `{"at":"2026-01-02T03:04:05Z","id":"r1","client":"127.0.0.1","user":"ann","method":"CONNECT","host":"www.example.com","port":443,"status":200,` +
		`"attempts":[{"proxy":"socks5://bob@198.51.100.7:1080","stage":"connect","class":"timeout","took_ms":1000},` +
		`{"proxy":"socks5://bob@198.51.100.7:1080","exit":"198.51.100.8","country":"DE","stage":"tunnel","class":"ok","took_ms":0}],"up":10,"down":20,"took_ms":1500}`
	if diff := cmp.Diff(strings.Repeat(want+"\n", 3), string(text)); diff != "" {
		t.Errorf("the log (-want +got):\n%s", diff)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the file has mode %v, %v", info.Mode(), err)
	}
	if rec.n != 3 {
		t.Errorf("the picker was told of %d requests, want 3", rec.n)
	}
}

func TestAuditNeverBlocks(t *testing.T) {
	t.Parallel()
	registry, metrics := newRegistry()
	log, err := openAudit(filepath.Join(t.TempDir(), "audit.log"), slog.New(slog.DiscardHandler), metrics.auditLost)
	if err != nil {
		t.Fatal(err)
	}
	defer log.close() //nolint:errcheck // the end of a test
	for range auditQueue + 7 {
		log.put(proxy.Trace{}) // nobody writes
	}
	if got := counter(t, registry, "freeway_audit_lost_total"); got != 7 {
		t.Errorf("%v requests are counted as lost, want 7", got)
	}
}

// TestAuditSurvivesABrokenFile: requests go on, and what is lost is counted.
func TestAuditSurvivesABrokenFile(t *testing.T) {
	t.Parallel()
	registry, metrics := newRegistry()
	log, err := openAudit(filepath.Join(t.TempDir(), "audit.log"), slog.New(slog.DiscardHandler), metrics.auditLost)
	if err != nil {
		t.Fatal(err)
	}
	log.put(trace(t))
	log.file.Close()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := log.run(ctx); err != nil {
		t.Errorf("run = %v: a broken audit log must not end the server", err)
	}
	if got := counter(t, registry, "freeway_audit_lost_total"); got != 1 {
		t.Errorf("%v requests are counted as lost, want 1", got)
	}
	if _, err := openAudit(t.TempDir(), nil, nil); err == nil {
		t.Error("a folder can be opened as audit log")
	}
}

// counter reads one metric.
func counter(t *testing.T, registry *prometheus.Registry, name string) float64 {
	t.Helper()
	all, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range all {
		if f.GetName() == name {
			return f.GetMetric()[0].GetCounter().GetValue()
		}
	}
	t.Fatalf("no metric %s", name)
	return 0
}

func TestAuditLineHoldsNoPath(t *testing.T) {
	t.Parallel()
	b, err := json.Marshal(auditLine(proxy.Trace{}))
	if err != nil || strings.Contains(string(b), "path") || !strings.Contains(string(b), `"attempts":[]`) {
		t.Errorf("auditLine = %s, %v", b, err)
	}
}
