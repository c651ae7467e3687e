package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"freeway/internal/socks"
	"freeway/lab"
	"freeway/proxy"
)

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
		Target: target, Status: 200, Up: 10, Down: 20, Answer: time.Second, Took: 1500 * time.Millisecond,
		Attempts: []proxy.Attempt{{Endpoint: ep, Stage: proxy.StageConnect, Class: proxy.Timeout, Took: time.Second},
			{Endpoint: ep, Exit: netip.MustParseAddr("198.51.100.8"), Country: "DE", Stage: proxy.StageTunnel}}}
}

func TestAuditWritesALinePerRequest(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "audit.log")
	log, err := openAudit(path, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		log.put(trace(t))
	}
	if err := log.close(); err != nil || log.close() != nil {
		t.Errorf("close = %v", err)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	want := `{"at":"2026-01-02T03:04:05Z","id":"r1","client":"127.0.0.1","user":"ann","method":"CONNECT","host":"www.example.com","port":443,` +
		`"decision":"allow","upstream":"socks5://bob@198.51.100.7:1080","exit":"198.51.100.8","status":200,"outcome":"ok",` +
		`"attempts":[{"proxy":"socks5://bob@198.51.100.7:1080","stage":"connect","class":"timeout","took_ms":1000},` +
		`{"proxy":"socks5://bob@198.51.100.7:1080","exit":"198.51.100.8","country":"DE","stage":"tunnel","class":"ok","took_ms":0}],"up":10,"down":20,"took_ms":1500}`
	if diff := cmp.Diff(strings.Repeat(want+"\n", 3), string(text)); diff != "" {
		t.Errorf("the log (-want +got):\n%s", diff)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the file has mode %v, %v", info.Mode(), err)
	}
	if log.lost() != 0 {
		t.Errorf("%d requests are counted as lost", log.lost())
	}
}

func TestAuditOutcome(t *testing.T) {
	t.Parallel()
	attempt := func(classes ...proxy.Class) (out []proxy.Attempt) {
		for i, c := range classes {
			out = append(out, proxy.Attempt{Class: c, Exit: netip.AddrFrom4([4]byte{192, 0, 2, byte(i)})})
		}
		return out
	}
	for _, tt := range []struct {
		name                    string
		t                       proxy.Trace
		decision, outcome, exit string
	}{
		{"served", proxy.Trace{Answer: 1, Attempts: attempt(proxy.Timeout, proxy.OK)}, "allow", "ok", "192.0.2.1"},
		{"a hedge lost", proxy.Trace{Answer: 1, Attempts: attempt(proxy.OK, proxy.Canceled)}, "allow", "ok", "192.0.2.0"},
		{"banned", proxy.Trace{Answer: 1, Attempts: attempt(proxy.Banned)}, "allow", "banned", "192.0.2.0"},
		{"cut", proxy.Trace{Answer: 1, Attempts: attempt(proxy.Refused, proxy.EOF)}, "allow", "eof", "192.0.2.1"},
		{"cut for want of bytes", proxy.Trace{Answer: 1, Code: "quota", Attempts: attempt(proxy.OK)}, "allow", "quota", "192.0.2.0"},
		{"all failed", proxy.Trace{Code: "upstreams_failed", Attempts: attempt(proxy.Refused)}, "allow", "upstreams_failed", ""},
		{"no upstream", proxy.Trace{Code: "no_upstream", Missed: 1}, "allow", "no_upstream", ""},
		{"refused", proxy.Trace{Code: "forbidden_target"}, "deny", "forbidden_target", ""},
	} {
		r := auditLine(tt.t)
		if r.Decision != tt.decision || r.Outcome != tt.outcome || r.Exit != tt.exit {
			t.Errorf("%s: %s %s through %q, want %s %s through %q", tt.name, r.Decision, r.Outcome, r.Exit, tt.decision, tt.outcome, tt.exit)
		}
	}
}

// TestAuditSurvivesABrokenFile: requests go on, what is lost is counted, and
// the log says so once.
func TestAuditSurvivesABrokenFile(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "audit.log")
	if err := os.Symlink("/dev/full", path); err != nil {
		t.Fatal(err)
	}
	var said lockedBuffer
	log, err := openAudit(path, slog.New(slog.NewTextHandler(&said, nil)))
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		log.put(trace(t))
	}
	eventually(t, "all are lost and that is said", func() bool {
		return log.lost() == 3 && strings.Contains(said.String(), "audit log cannot be written; requests go on")
	})
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	log.reopen()
	eventually(t, "the end of it is said", func() bool { return strings.Contains(said.String(), "can be written again\" lost=3") })
	log.put(trace(t))
	if err := log.close(); err != nil {
		t.Error(err)
	}
	if text, err := os.ReadFile(path); err != nil || bytes.Count(text, []byte("\n")) != 1 {
		t.Errorf("the new file holds %q, %v", text, err)
	}
	if _, err := openAudit(t.TempDir(), nil); err == nil {
		t.Error("a folder can be opened as audit log")
	}
}

func TestAuditLineHoldsNoPath(t *testing.T) {
	t.Parallel()
	b, err := json.Marshal(auditLine(proxy.Trace{}))
	if err != nil || strings.Contains(string(b), "path") || !strings.Contains(string(b), `"attempts":[]`) {
		t.Errorf("auditLine = %s, %v", b, err)
	}
}

// TestAuditOverLab: http, CONNECT, SOCKS4 and 5, refused and failed requests
// through a real server, with the file moved away in between.
func TestAuditOverLab(t *testing.T) {
	t.Parallel()
	l := startLab(t, lab.Config{})
	dir := t.TempDir()
	list := filepath.Join(dir, "list.txt")
	up := add(t, l, lab.Upstream{Protocol: 4})
	if err := os.WriteFile(list, []byte(up.String()+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "audit.log")
	r := serveFile(t, fmt.Sprintf(`
gateway: {listen: "127.0.0.1:0", retry: {attempts: 1}}
sources: {builtin: false, list: [{name: mine, file: %q}]}
checker: {judges: [%q, %q], judge_ca: %q, own_ips: [127.0.0.1], timeout: 5s}
network: {allow_upstreams: [127.0.0.0/8], allow_targets: [127.0.0.0/8]}
audit: {path: %q}
`, list, l.JudgeHTTP(), l.JudgeHTTPS(), caFile(t, l), path))
	eventually(t, "the proxy is live", func() bool { return r.pool.Stats().Live == 1 })
	client := r.through(t)
	if err := fetch(t.Context(), client, l.HTTPName(), 100, "secret"); err != nil {
		t.Errorf("plain: %v", err)
	}
	host := strings.TrimPrefix(l.HTTPName(), "http://")
	addr, err := proxy.ParseTarget(host, 80)
	if err != nil {
		t.Fatal(err)
	}
	to := socks.Addr{Name: addr.Host, Port: addr.Port}
	dialed := func(say func(c net.Conn) error) {
		c, err := net.Dial("tcp", r.gateway.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		c.SetDeadline(time.Now().Add(30 * time.Second))
		if err := say(c); err != nil {
			t.Error(err)
			return
		}
		fmt.Fprintf(c, "GET /secret-path HTTP/1.0\r\nHost: %s\r\n\r\n", addr.Host)
		if _, err := c.Read(make([]byte, 1)); err != nil {
			t.Errorf("the tunnel gives %v", err)
		}
	}
	dialed(func(c net.Conn) error { return socks.Client5(c, to, "ann-tag-t1", "") })
	dialed(func(c net.Conn) error { return socks.Client4(c, to, "ann-session-s1") })
	dialed(func(c net.Conn) error {
		fmt.Fprintf(c, "CONNECT %s HTTP/1.1\r\nHost: x\r\n\r\n", addr)
		b := make([]byte, 200)
		n, err := c.Read(b)
		if !bytes.Contains(b[:n], []byte(" 200 ")) {
			t.Errorf("CONNECT = %q", b[:n])
		}
		return err
	})
	lines := func(file string) (out []auditRecord) {
		text, _ := os.ReadFile(file)
		for line := range strings.Lines(string(text)) {
			var rec auditRecord
			if err := json.Unmarshal([]byte(line), &rec); err != nil {
				t.Fatalf("%q: %v", line, err)
			}
			out = append(out, rec)
		}
		return out
	}
	eventually(t, "four lines", func() bool { return len(lines(path)) == 4 })
	if err := os.Rename(path, path+".1"); err != nil {
		t.Fatal(err)
	}
	r.reopen()
	for _, u := range []string{"http://127.0.0.1:25/", l.HTTPName() + "/secret"} {
		if resp, err := client.Get(u); err == nil {
			resp.Body.Close()
		}
		if err := l.Switch(up, lab.Garbage); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "two lines in the new file", func() bool { return len(lines(path)) == 2 })
	for _, file := range []string{path, path + ".1"} {
		if text, err := os.ReadFile(file); err != nil || bytes.Contains(text, []byte("secret")) || bytes.Contains(text, []byte("/bytes")) {
			t.Errorf("%v, or a path or a query is in the audit log:\n%s", err, text)
		}
	}
	checkAudit(t, append(lines(path+".1"), lines(path)...), addr, up.String())
}

// checkAudit compares the lines of TestAuditOverLab, but for what differs from run to run.
func checkAudit(t *testing.T, got []auditRecord, to proxy.Target, up string) {
	t.Helper()
	var texts []string
	for _, r := range got {
		if r.ID == "" || time.Since(r.At) > time.Hour || !r.Client.IsLoopback() || r.TookMS < 0 {
			t.Errorf("who or when is missing: %+v", r)
		}
		if r.Decision == "allow" && r.Outcome == "ok" && (r.Upstream != up || r.Exit == "" || r.Down == 0 || len(r.Attempts) != 1) {
			t.Errorf("the upstream, the exit, the bytes or the attempts are missing: %+v", r)
		}
		texts = append(texts, fmt.Sprint(r.Method, " ", r.User, " ", r.Tag, r.Session, " ", r.Host, ":", r.Port, " ", r.Decision, " ", r.Status, " ", r.Outcome))
	}
	want := []string{
		fmt.Sprintf("GET   %s allow 200 ok", to), fmt.Sprintf("SOCKS5 ann t1 %s allow 0 ok", to), fmt.Sprintf("SOCKS4 ann s1 %s allow 0 ok", to),
		fmt.Sprintf("CONNECT   %s allow 200 ok", to), "GET   127.0.0.1:25 deny 403 forbidden_target", fmt.Sprintf("GET   %s allow 502 upstreams_failed", to)}
	slices.Sort(texts)
	slices.Sort(want)
	if diff := cmp.Diff(want, texts); diff != "" {
		t.Errorf("the audit log (-want +got):\n%s", diff)
	}
}
