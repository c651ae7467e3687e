package e2e_test

import (
	"bufio"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestThreat75RefusesToStart: without a token nothing but loopback is listened
// at, and the file with what is known is its owner's.
func TestThreat75RefusesToStart(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for name, config := range map[string]string{
		"admin":   `admin: {listen: "0.0.0.0:0"}`,
		"gateway": `gateway: {listen: "0.0.0.0:0"}`,
		"compat":  `compat: {jhao104: "0.0.0.0:0"}`,
	} {
		file := filepath.Join(dir, name+".yaml")
		text := "sources: {builtin: false}\nchecker: {judges: [\"http://127.0.0.1:1/\"], own_ips: [127.0.0.1]}\nstore: {path: \"" + dir + "/" + name + ".db\"}\n" + config + "\n"
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		p := start(t, binary, "serve", "--config", file)
		code := p.exitCode(t)
		if out := p.out.String(); code != 1 || !strings.Contains(out, name+".listen") && !strings.Contains(out, name+".jhao104") || !strings.Contains(out, "127.0.0.1") {
			t.Errorf("%s: exit code %d, %s, want 1 and what to change", name, code, out)
		}
	}
	f := newFleet(t, 1, "")
	for _, name := range []string{"freeway.db", "freeway.db.pid"} {
		info, err := os.Stat(filepath.Join(f.dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s has mode %v, want none for others", name, info.Mode())
		}
	}
}

// ask writes a head to an address and returns the answer's status and the
// reason that Freeway gives.
func ask(t *testing.T, addr, head string) (int, string) {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(c, "%s\r\nConnection: close\r\n\r\n", head)
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatalf("%q: %v", head, err)
	}
	resp.Body.Close()
	return resp.StatusCode, resp.Header.Get("Freeway-Error")
}

// TestThreats84And85GatewayAndAdmin: the port of the gateway shows nothing of
// the admin API, and no client gets there through it, although targets on this
// machine are allowed.
func TestThreats84And85GatewayAndAdmin(t *testing.T) {
	t.Parallel()
	door := fmt.Sprintf("127.0.0.1:%d", freePort(t))
	f := newFleet(t, 2, fmt.Sprintf("compat: {jhao104: %q}\n", door))
	for _, path := range []string{"/metrics", "/debug/pprof/", "/api/stats", "/api/config", "/livez", "/", "/compat/jhao104/get/"} {
		if status, _ := ask(t, f.gateway, "GET "+path+" HTTP/1.1\r\nHost: "+f.gateway); status != http.StatusBadRequest {
			t.Errorf("GET %s of the gateway = %d, want 400", path, status)
		}
	}
	if status, _ := f.get(t, "/debug/pprof/"); status != http.StatusNotFound {
		t.Errorf("pprof without admin.pprof = %d, want 404", status)
	}
	site := newWary(t, nil)
	if status, code := ask(t, f.gateway, "GET "+site.url+"/page/1 HTTP/1.1\r\nHost: x"); status != http.StatusOK {
		t.Fatalf("a target on this machine = %d %s, want 200: the test would show nothing", status, code)
	}
	for _, own := range []string{f.admin, f.gateway, door} {
		_, port, _ := net.SplitHostPort(own)
		for _, host := range []string{"127.0.0.1", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]"} {
			to := host + ":" + port
			if status, code := ask(t, f.gateway, "GET http://"+to+"/livez HTTP/1.1\r\nHost: "+to); status != 403 || code != "forbidden_target" {
				t.Errorf("GET http://%s/ through the gateway = %d %s, want 403 forbidden_target", to, status, code)
			}
			if status, code := ask(t, f.gateway, "CONNECT "+to+" HTTP/1.1\r\nHost: "+to); status != 403 || code != "forbidden_target" {
				t.Errorf("CONNECT %s = %d %s, want 403 forbidden_target", to, status, code)
			}
		}
		for _, host := range []string{"127.1", "0x7f.0.0.1", "2130706433", "0177.0.0.1", "0.0.0.0", "localhost", "localhost."} {
			to := host + ":" + port
			if status, _ := ask(t, f.gateway, "CONNECT "+to+" HTTP/1.1\r\nHost: "+to); status == 200 {
				t.Errorf("CONNECT %s = 200", to)
			}
		}
	}
}
