package main

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"freeway/internal/loopback"
	"freeway/store"
)

// TestThreat95OneLine: what cannot be served ends at once with an exit code and
// one line that names what is wrong.
func TestThreat95OneLine(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	taken := l.Addr().String()
	for name, tt := range map[string]struct {
		args string
		code int
		says string
	}{
		"gateway's port in use": {"--gateway.listen " + taken, 1, "address already in use"},
		"admin's port in use":   {"--admin.listen " + taken, 1, "address already in use"},
		"a bad flag":            {"--gatewy.listen x", 2, "gatewy"},
		"a bad value":           {"--checker.rate much", 2, "checker.rate"},
		"no folder":             {"--store.path " + dir + "/none/freeway.db", 1, "none"},
		"a file for a folder":   {"--store.path " + file + "/freeway.db", 1, "file"},
		"no configuration":      {"--config " + dir + "/none.yaml", 1, "none.yaml"},
		"no log folder":         {"--log.file " + dir + "/none/log", 1, "none"},
		"no audit folder":       {"--audit.path " + dir + "/none/audit", 1, "none"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			env := map[string]string{"FREEWAY_STORE_PATH": filepath.Join(t.TempDir(), "freeway.db"), "FREEWAY_ADMIN_LISTEN": "127.0.0.1:0", "FREEWAY_GATEWAY_LISTEN": "127.0.0.1:0",
				"FREEWAY_SOURCES_BUILTIN": "false", "FREEWAY_CHECKER_JUDGES": "[http://127.0.0.1:9/]", "FREEWAY_LOG_LEVEL": "error"}
			code, out, errs := command(t, env, append([]string{"serve"}, strings.Fields(tt.args)...)...)
			if code != tt.code || out != "" || strings.Count(errs, "\n") != 1 || !strings.Contains(errs, tt.says) {
				t.Errorf("serve %s = %d, %q, %q; want %d and one line with %q", tt.args, code, out, errs, tt.code, tt.says)
			}
		})
	}
}

// TestThreat96CleanExit: after the end the store and the ports are free. That no
// goroutine is left TestMain looks for.
func TestThreat96CleanExit(t *testing.T) {
	t.Parallel()
	r := serveFile(t, deployConfig+"audit: {path: DIR/audit.jsonl}\n")
	path, addrs := r.current().Store.Path, []net.Addr{r.admin.Addr(), r.gateway.Addr()}
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	s, err := store.Open(path, store.Options{Timeout: time.Millisecond})
	if err != nil {
		t.Fatalf("the store is not free: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	for _, a := range addrs {
		d := net.Dialer{Control: loopback.Guard(t)}
		if c, err := d.DialContext(t.Context(), "tcp", a.String()); err == nil {
			c.Close()
			t.Errorf("something still listens on %v", a)
		}
	}
}
