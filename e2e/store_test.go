package e2e_test

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
)

// storing is a configuration in which nothing is fetched or checked, and what
// clients add is kept.
const storing = quietly + "network: {allow_upstreams: [127.0.0.0/8]}\n"

// deadList is n endpoints at which nothing answers, from the first on, with a
// password each.
func deadList(first, n int) string {
	var b strings.Builder
	for i := first; i < first+n; i++ {
		fmt.Fprintf(&b, "socks5://bob:hunter2hunter2@127.9.%d.%d:1\n", i/250, i%250+1)
	}
	return b.String()
}

// add posts a list and returns the status and the answer.
func (s *server) add(t *testing.T, list string) (int, string) {
	t.Helper()
	resp, err := s.client.Post("http://"+s.admin+"/api/proxies", "text/plain", strings.NewReader(list))
	if err != nil {
		t.Fatalf("POST /api/proxies: %v", err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatalf("POST /api/proxies: %v", err)
	}
	return resp.StatusCode, string(body)
}

// mustAdd is add that succeeds.
func (s *server) mustAdd(t *testing.T, list string) {
	t.Helper()
	if status, body := s.add(t, list); status != http.StatusOK {
		t.Fatalf("POST /api/proxies = %d %s", status, body)
	}
}

// urls are all endpoints that the server knows, in order, without passwords.
func (s *server) urls(t *testing.T) []string {
	t.Helper()
	status, body := s.get(t, "/api/proxies?format=ndjson&fields=url")
	if status != http.StatusOK {
		t.Fatalf("GET /api/proxies = %d %s", status, tail(string(body), 500))
	}
	return slices.Sorted(strings.Lines(string(body)))
}

// freeway runs the command under test and returns its exit code and output.
func (s *server) freeway(t *testing.T, args ...string) (int, string) {
	t.Helper()
	p := start(t, binary, append([]string{"--config", s.dir + "/freeway.yaml"}, args...)...)
	return p.exitCode(t), p.out.String()
}

// mustFreeway is freeway that succeeds.
func (s *server) mustFreeway(t *testing.T, args ...string) string {
	t.Helper()
	code, out := s.freeway(t, args...)
	if code != 0 {
		t.Fatalf("freeway %s ended with %d: %s", strings.Join(args, " "), code, out)
	}
	return out
}

// storeLine is the line of the store in /readyz?verbose.
func (s *server) storeLine(t *testing.T) string {
	t.Helper()
	_, body := s.get(t, "/readyz?verbose")
	for line := range strings.Lines(string(body)) {
		if strings.Contains(line, "store") {
			return line
		}
	}
	t.Fatalf("/readyz?verbose has no line about the store: %s", body)
	return ""
}

// TestThreat69BrokenFile: whatever has become of the file while the server was
// stopped, it starts, with what the latest good copy has, keeps the broken file
// as it was, and says so everywhere.
func TestThreat69BrokenFile(t *testing.T) {
	t.Parallel()
	for name, damage := range map[string]func([]byte) []byte{
		"flipped":       func(b []byte) []byte { flipPages(b); return b },
		"cut":           func(b []byte) []byte { return b[:2*4096+100] },
		"empty":         func([]byte) []byte { return nil },
		"zeroed":        func(b []byte) []byte { return make([]byte, len(b)) },
		"a list":        func([]byte) []byte { return []byte("192.0.2.1:80\n") },
		"page size":     func(b []byte) []byte { b[16+9] ^= 0x30; b[4096+16+9] ^= 0x30; return b },
		"heads flipped": func(b []byte) []byte { b[16+40] ^= 1; b[4096+16+40] ^= 1; return b },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := serve(t, storing)
			s.mustAdd(t, deadList(0, 300))
			want := s.urls(t)
			s.signal(syscall.SIGTERM)
			if code := s.exitCode(t); code != 0 {
				t.Fatalf("exit code %d", code)
			}
			path := s.dir + "/freeway.db"
			content, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			broken := damage(content)
			if err := os.WriteFile(path, broken, 0o600); err != nil {
				t.Fatal(err)
			}
			if code, out := s.freeway(t, "store", "check"); code != 1 || !strings.Contains(out, "freeway.db is broken: ") {
				t.Errorf("store check of it = %d %s", code, out)
			}
			s.restart(t)
			s.mustBeRestored(t, want, broken)
		})
	}
}

// flipPages flips a bit in the head of each page behind the first two.
func flipPages(b []byte) {
	for at := 2 * 4096; at+16 < len(b); at += 4096 {
		b[at] ^= 1
	}
}

// mustBeRestored checks what a server says that found its file broken.
func (s *server) mustBeRestored(t *testing.T, want []string, broken []byte) {
	t.Helper()
	if got := s.urls(t); !slices.Equal(got, want) {
		t.Errorf("it has %d endpoints, want the %d of the snapshot", len(got), len(want))
	}
	kept, err := filepath.Glob(s.dir + "/freeway.db.corrupt-*")
	if err != nil || len(kept) != 1 {
		t.Fatalf("kept are %v, %v, want one file", kept, err)
	}
	if text, err := os.ReadFile(kept[0]); err != nil || !bytes.Equal(text, broken) {
		t.Errorf("the broken file was not kept as it was: %v", err)
	}
	if line := s.storeLine(t); !strings.Contains(line, "ALARM") || !strings.Contains(line, kept[0]) || !strings.Contains(line, "took its place") {
		t.Errorf("/readyz?verbose says %q", line)
	}
	if log := s.out.String(); !strings.Contains(log, "level=ERROR") || !strings.Contains(log, "the store was broken") || !strings.Contains(log, kept[0]) {
		t.Errorf("the log says %s", tail(log, 2000))
	}
	if n := s.metric(t, "freeway_store_restored_total"); n != 1 {
		t.Errorf("freeway_store_restored_total = %v, want 1", n)
	}
	s.mustAdd(t, deadList(1000, 1))
	if out := s.mustFreeway(t, "store", "check", "--server", "http://"+s.admin); !strings.Contains(out, fmt.Sprintf("holds %d endpoints", len(want)+1)) {
		t.Errorf("store check = %s", out)
	}
}

// TestThreat70SecondProcess: whoever wants a store that a process has is told so
// at once, with the process and a way around it.
func TestThreat70SecondProcess(t *testing.T) {
	t.Parallel()
	s := serve(t, storing)
	for _, tt := range []struct{ line, remedy string }{
		{"serve", "end it first"},
		{"store check", "store check --server http://" + s.admin},
		{"store compact", "end it first"},
		{"store backup -", "store backup --server http://" + s.admin},
	} {
		code, out := s.freeway(t, strings.Fields(tt.line)...)
		if code != 1 || !strings.Contains(out, fmt.Sprintf("is in use by process %d; ", s.cmd.Process.Pid)) || !strings.Contains(out, tt.remedy) {
			t.Errorf("freeway %s = %d %s, want 1, the process and %q", tt.line, code, out, tt.remedy)
		}
	}
}

// TestThreat72HotBackup: copies made under traffic are whole and hold what was
// acknowledged before; restored, the last one is the store. The file does not
// grow by being copied.
func TestThreat72HotBackup(t *testing.T) {
	t.Parallel()
	s := newSmall(t, 3, "", "")
	s.mustAdd(t, deadList(0, 3000))
	size := s.metric(t, "freeway_store_size_bytes")
	var requests, rounds atomic.Int64
	stop, ended := make(chan struct{}), make(chan struct{})
	var wrong error
	go func() {
		defer close(ended)
		for wrong == nil {
			select {
			case <-stop:
				return
			default:
				wrong = s.short(requests.Add(1)%2 == 0)
			}
		}
	}()
	written := make(chan struct{})
	go func() {
		defer close(written)
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
				if status, _ := s.add(t, deadList(3000+i%40*50, 50)); status == http.StatusOK {
					rounds.Add(1)
				}
			}
		}
	}()
	for i := range 5 {
		before := s.urls(t)
		file := fmt.Sprintf("%s/hot%d.db", s.dir, i)
		s.mustFreeway(t, "store", "backup", "--server", "http://"+s.admin, file)
		s.mustHold(t, file, before, s.urls(t), false)
	}
	close(stop)
	<-ended
	<-written
	if wrong != nil || requests.Load() < 5 || rounds.Load() < 5 {
		t.Errorf("%d requests, %d lists meanwhile, %v", requests.Load(), rounds.Load(), wrong)
	}
	if now := s.metric(t, "freeway_store_size_bytes"); now > 4*size+1<<20 {
		t.Errorf("the file grew from %v to %v bytes", size, now)
	}
	file := s.dir + "/last.db"
	s.mustFreeway(t, "store", "backup", "--server", "http://"+s.admin, file)
	want := s.urls(t)
	s.mustHold(t, file, want, want, false)
}

// mustHold restores a copy beside the server and checks that it has at least
// what was there before, and nothing that is not there after.
func (s *server) mustHold(t *testing.T, file string, before, after []string, passwords bool) {
	t.Helper()
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("%s: %v, %v, want mode 0600", file, info, err)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(text, []byte("hunter2hunter2")) != passwords {
		t.Errorf("%s holds passwords: %v, want %v", file, !passwords, passwords)
	}
	other := prepare(t, storing)
	if out := other.mustFreeway(t, "store", "restore", file); !strings.Contains(out, "ok: ") {
		t.Errorf("store restore = %s", out)
	}
	other.restart(t)
	got := other.urls(t)
	in := func(list []string) func(string) bool {
		return func(u string) bool { _, ok := slices.BinarySearch(list, u); return ok }
	}
	for _, u := range before {
		if !in(got)(u) {
			t.Fatalf("%s is missing in the copy of %d endpoints", u, len(got))
		}
	}
	for _, u := range got {
		if !in(after)(u) {
			t.Fatalf("the copy has %s, which never was", u)
		}
	}
	other.signal(syscall.SIGTERM)
	if code := other.exitCode(t); code != 0 {
		t.Errorf("the server on the copy ended with %d", code)
	}
}

// TestBackupRoles: copies are for admins; passwords are in them only when asked
// for, and only where a token is asked for.
func TestBackupRoles(t *testing.T) {
	t.Parallel()
	s := prepare(t, storing)
	token := strings.Repeat("a", 40)
	for name, text := range map[string]string{"admin": token, "viewer": strings.Repeat("v", 40)} {
		if err := os.WriteFile(s.dir+"/"+name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s.config(t, func(text string) string {
		return strings.Replace(text, "admin: {", fmt.Sprintf("admin: {tokens: [{name: ada, role: admin, token_file: %q}, {name: vera, role: viewer, token_file: %q}], ", s.dir+"/admin", s.dir+"/viewer"), 1)
	})
	s.restart(t)
	req, err := http.NewRequest(http.MethodPost, "http://"+s.admin+"/api/proxies", strings.NewReader(deadList(0, 10)))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+token)
	resp, err := s.client.Do(req)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("POST /api/proxies = %v, %v", resp, err)
	}
	resp.Body.Close()
	at := "http://" + s.admin
	for _, tt := range []struct {
		who, name string
		args      []string
		code      int
		says      string
		passwords bool
	}{
		{"viewer", "a", nil, 1, "403 Forbidden: the role of this token is not enough", false},
		{"viewer", "b", []string{"--passwords"}, 1, "403 Forbidden: the role of this token is not enough", false},
		{"admin", "c", nil, 0, "without the passwords", false},
		{"admin", "d", []string{"--passwords"}, 0, "10 endpoints", true},
		{"nobody", "e", nil, 1, "401 Unauthorized", false},
	} {
		file := s.dir + "/" + tt.name
		args := append([]string{"store", "backup", "--server", at, file}, tt.args...)
		ask := prepare(t, storing)
		ask.config(t, func(text string) string {
			if tt.who == "nobody" {
				return text
			}
			return strings.Replace(text, "admin: {", fmt.Sprintf("admin: {token_file: %q, ", s.dir+"/"+tt.who), 1)
		})
		code, out := ask.freeway(t, args...)
		if code != tt.code || !strings.Contains(out, tt.says) {
			t.Errorf("backup %v as %s = %d %s, want %d and %q", tt.args, tt.who, code, out, tt.code, tt.says)
		}
		text, err := os.ReadFile(file)
		if (err == nil) != (tt.code == 0) || bytes.Contains(text, []byte("hunter2hunter2")) != tt.passwords {
			t.Errorf("backup %v as %s: %v, holds passwords: %v", tt.args, tt.who, err, !tt.passwords)
		}
		if left, _ := filepath.Glob(file + ".*"); len(left) > 0 {
			t.Errorf("%v is left", left)
		}
	}
}

// config changes the configuration of a server that does not run.
func (s *server) config(t *testing.T, change func(string) string) {
	t.Helper()
	name := s.dir + "/freeway.yaml"
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(change(string(text))), 0o600); err != nil {
		t.Fatal(err)
	}
}
