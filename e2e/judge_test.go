package e2e_test

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"freeway/lab"
)

// TestJudgeClosedPort: `freeway judge --closed-port` promises a port at which
// nothing listens. When it is so, a scan says what failed; when something answers
// there all the same, the scan is void and says why.
func TestJudgeClosedPort(t *testing.T) {
	t.Parallel()
	for name, answers := range map[string]bool{"closed": false, "answers": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l, err := lab.Start(t.Context(), lab.Config{AllowLoopback: true})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { l.Close() })
			var lines []string
			for _, b := range []lab.Behaviour{lab.Healthy, lab.Garbage, lab.Refused} {
				ep, err := l.Add(lab.Upstream{Behaviour: b})
				if err != nil {
					t.Fatal(err)
				}
				lines = append(lines, ep.String())
			}
			list := filepath.Join(t.TempDir(), "list.txt")
			if err := os.WriteFile(list, []byte(strings.Join(lines, "\n")), 0o600); err != nil {
				t.Fatal(err)
			}
			closed := freePort(t)
			if answers {
				ln, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", closed))
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { ln.Close() })
			}
			at := fmt.Sprintf("127.0.0.1:%d", freePort(t))
			j := start(t, binary, "judge", "--listen", at, "--closed-port", fmt.Sprint(closed))
			eventually(t, "the judge listens", func() bool { return strings.Contains(j.out.String(), "judge on http://"+at) })
			out, err := run(t, nil, binary, "scan", "--judge", "http://"+at+"/", "--allow-upstreams", "127.0.0.0/8", "--format", "ndjson", "--all", list)
			failed := (*exec.ExitError)(nil)
			switch {
			case answers && (!errors.As(err, &failed) || failed.ExitCode() != 1 || !strings.Contains(err.Error(), "a port that is closed")):
				t.Errorf("scan: %v, want exit code 1 and the reason\n%s", err, out)
			case answers && strings.Contains(string(out), `"dead"`):
				t.Errorf("something is called dead while the controls fail:\n%s", out)
			case !answers && (err != nil || strings.Count(string(out), `"live"`) != 1 || strings.Count(string(out), "\n") != 3):
				t.Errorf("scan: %v, want one live and two dead\n%s", err, out)
			}
		})
	}
}

// TestJudgeDiesBehindServer: when its judge is gone, a server is as ready as
// before and its pool is the same; /readyz?verbose and the log say why nothing is scored.
func TestJudgeDiesBehindServer(t *testing.T) {
	t.Parallel()
	l, err := lab.Start(t.Context(), lab.Config{AllowLoopback: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	var list strings.Builder
	var ids []string
	for range 3 {
		ep, err := l.Add(lab.Upstream{})
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintln(&list, ep)
		ids = append(ids, ep.ID())
	}
	path := filepath.Join(t.TempDir(), "list.txt")
	if err := os.WriteFile(path, []byte(list.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	at := fmt.Sprintf("127.0.0.1:%d", freePort(t))
	j := start(t, binary, "judge", "--listen", at)
	s := serve(t, fmt.Sprintf(`
gateway: {listen: "GATEWAY"}
sources: {builtin: false, list: [{name: list, file: %q}]}
checker: {judges: ["http://%s/"], own_ips: [127.0.0.1], timeout: 3s}
network: {allow_upstreams: [127.0.0.0/8]}
`, path, at))
	eventually(t, "all are live", func() bool { return s.total(t, "state=live") == len(ids) })
	j.signal(os.Interrupt)
	j.exitCode(t)
	eventually(t, "the server says that scores are frozen", func() bool {
		for _, id := range ids {
			resp, err := s.client.Post("http://"+s.admin+"/api/proxies/"+id+"/check", "", nil)
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
		}
		_, body := s.get(t, "/readyz?verbose")
		return strings.Contains(string(body), "scores are frozen: no judge answers directly")
	})
	if status, body := s.get(t, "/readyz"); status != 200 {
		t.Errorf("GET /readyz = %d %s, want it ready without a judge", status, body)
	}
	if n := s.total(t, "state=live"); n != len(ids) {
		t.Errorf("%d of %d are live after the judge died", n, len(ids))
	}
	if log := s.out.String(); !strings.Contains(log, "no judge answers directly; nothing is checked until one does") {
		t.Errorf("the log says nothing of it:\n%s", tail(log, 2000))
	}
}
