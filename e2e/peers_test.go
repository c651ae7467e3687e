package e2e_test

import (
	"bytes"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// need finds a program of others. Without it the test is skipped, or fails
// where FREEWAY_REQUIRE_PEERS says that everything is installed.
func need(t testing.TB, names ...string) {
	t.Helper()
	for _, name := range names {
		if _, err := exec.LookPath(name); err != nil {
			if os.Getenv("FREEWAY_REQUIRE_PEERS") != "" {
				t.Fatalf("%s is not installed", name)
			}
			t.Skipf("skipped: %s is not installed", name)
		}
	}
}

// peer is a proxy program of others, on an address of its own and leaving from it.
type peer struct{ url, exit string }

// peers starts squid, tinyproxy, dante and microsocks.
func peers(t *testing.T) []peer {
	t.Helper()
	need(t, "squid", "tinyproxy", "danted", "microsocks")
	dir := worldDir(t)
	var all []peer
	add := func(scheme, exit string, config func(port int) string, name string, args ...string) {
		port := freePort(t)
		file := filepath.Join(dir, name+".conf")
		if config != nil {
			if err := os.WriteFile(file, []byte(config(port)), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		for i, a := range args {
			args[i] = strings.NewReplacer("CONF", file, "PORT", fmt.Sprint(port)).Replace(a)
		}
		start(t, name, args...)
		addr := net.JoinHostPort(exit, fmt.Sprint(port))
		all = append(all, peer{scheme + "://" + addr, exit})
		eventually(t, name+" listens", func() bool {
			c, err := net.DialTimeout("tcp", addr, time.Second)
			if err == nil {
				c.Close()
			}
			return err == nil
		})
	}
	add("http", "127.9.0.1", func(port int) string {
		return fmt.Sprintf("http_port 127.9.0.1:%d\ntcp_outgoing_address 127.9.0.1\nhttp_access allow all\ncache deny all\npid_filename none\n"+
			"cache_log %s/squid.log\naccess_log none\nshutdown_lifetime 1 seconds\n", port, dir)
	}, "squid", "-N", "-f", "CONF")
	add("http", "127.9.0.2", func(port int) string {
		return fmt.Sprintf("Port %d\nListen 127.9.0.2\nBind 127.9.0.2\nTimeout 60\nMaxClients 50\nLogLevel Warning\n", port)
	}, "tinyproxy", "-d", "-c", "CONF")
	add("socks5", "127.9.0.3", func(port int) string {
		return fmt.Sprintf("logoutput: stderr\ninternal: 127.9.0.3 port = %d\nexternal: 127.9.0.3\nsocksmethod: none\nclientmethod: none\n"+
			"user.notprivileged: nobody\nclient pass { from: 0.0.0.0/0 to: 0.0.0.0/0 }\nsocks pass { from: 0.0.0.0/0 to: 0.0.0.0/0 protocol: tcp }\n", port)
	}, "danted", "-f", "CONF")
	add("socks5", "127.9.0.4", nil, "microsocks", "-i", "127.9.0.4", "-p", "PORT", "-b", "127.9.0.4")
	return all
}

// worldDir is a temporary folder that programs which give up root can write to.
func worldDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "freeway-peers")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	return dir
}

// listOf writes the peers as a list file, as lists do: some name their protocol, some do not.
func listOf(t *testing.T, all []peer) string {
	t.Helper()
	var b strings.Builder
	for i, p := range all {
		line := p.url
		if i%2 == 1 { // the checker has to find out
			line = line[strings.Index(line, "://")+3:]
		}
		fmt.Fprintln(&b, line)
	}
	path := filepath.Join(t.TempDir(), "list.txt")
	if err := os.WriteFile(path, []byte(b.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// overPeers starts serve with the list as its only source and waits until want entries are live.
func overPeers(t *testing.T, o *origin, list string, want int) *server {
	t.Helper()
	plain, secure := o.judge(t)
	s := serve(t, fmt.Sprintf(`
gateway: {listen: "GATEWAY", rotation: round-robin} # each of them gets its turn
sources: {builtin: false, list: [{name: peers, file: %q}]}
checker: {judges: [%q, %q], judge_ca: %q, own_ips: [127.0.0.1]}
network: {allow_upstreams: [127.9.0.0/16], allow_targets: [127.0.0.0/8]}
`, list, plain, secure, o.ca))
	eventually(t, fmt.Sprintf("%d proxies are live", want), func() bool { return s.total(t, "state=live") >= want })
	return s
}

// TestRealPeers has nothing of ours on either side: other people's proxies as
// upstreams, other people's programs as clients.
func TestRealPeers(t *testing.T) {
	t.Parallel()
	need(t, "curl", "wget", "/usr/bin/python3")
	o := newOrigin(t)
	all := peers(t)
	s := overPeers(t, o, listOf(t, all), len(all))
	o.seen()
	want := page(70_000)
	httpURL, httpsURL := o.http+"/page/70000", o.https+"/page/70000"
	gw := "http://" + s.gateway
	proxyEnv := []string{"http_proxy=" + gw, "https_proxy=" + gw, "no_proxy="}
	python := func(proxy, url string) []string {
		return []string{"-c", fmt.Sprintf("import requests,sys; r=requests.get(%q,proxies={'http':%q,'https':%q},verify=%q,timeout=50); r.raise_for_status(); sys.stdout.buffer.write(r.content)",
			url, proxy, proxy, o.ca)}
	}
	for _, tt := range []struct {
		name, program string
		env, args     []string
	}{
		{"curl http", "curl", nil, []string{"-sSf", "-x", gw, "--noproxy", "", httpURL}},
		{"curl https", "curl", nil, []string{"-sSf", "-x", gw, "--noproxy", "", "--cacert", o.ca, httpsURL}},
		{"curl tunnel to http", "curl", nil, []string{"-sSf", "-p", "-x", gw, "--noproxy", "", httpURL}},
		{"curl socks5h", "curl", nil, []string{"-sSf", "-x", "socks5h://" + s.gateway, "--noproxy", "", "--cacert", o.ca, httpsURL}},
		{"curl socks4", "curl", nil, []string{"-sSf", "-x", "socks4://" + s.gateway, "--noproxy", "", httpURL}},
		{"curl socks4a", "curl", nil, []string{"-sSf", "-x", "socks4a://" + s.gateway, "--noproxy", "", httpURL}},
		{"wget http", "wget", proxyEnv, []string{"-q", "-O", "-", "-t", "1", httpURL}},
		{"wget https", "wget", proxyEnv, []string{"-q", "-O", "-", "-t", "1", "--ca-certificate=" + o.ca, httpsURL}},
		{"requests http", "/usr/bin/python3", nil, python(gw, httpURL)},
		{"requests https", "/usr/bin/python3", nil, python(gw, httpsURL)},
		{"requests socks5h", "/usr/bin/python3", nil, python("socks5h://"+s.gateway, httpsURL)},
	} {
		for range 2 {
			got, err := run(t, tt.env, tt.program, tt.args...)
			if err != nil {
				t.Errorf("%s: %v", tt.name, err)
			} else if !bytes.Equal(got, want) {
				t.Errorf("%s: %d bytes that are not the page of %d", tt.name, len(got), len(want))
			}
		}
	}
	exits := o.seen()
	t.Logf("requests by exit: %v", exits)
	for _, p := range all {
		if exits[p.exit] == 0 {
			t.Errorf("no request left from %s (%s); exits: %v", p.exit, p.url, exits)
		}
		delete(exits, p.exit)
	}
	if len(exits) > 0 {
		t.Errorf("requests reached the origin from elsewhere: %v", exits)
	}
}

// TestPeersAsOthersSeeThem checks what was found out about programs whose behaviour is known.
func TestPeersAsOthersSeeThem(t *testing.T) {
	t.Parallel()
	o := newOrigin(t)
	all := peers(t)
	s := overPeers(t, o, listOf(t, all), len(all))
	for _, tt := range []struct {
		query string
		want  int
	}{
		{"protocol=http&state=live", 2},   // squid, tinyproxy
		{"protocol=socks5&state=live", 2}, // dante, microsocks
		{"exit=127.9.0.0/16", 4},          // each leaves from its own address
		{"exit=127.9.0.3", 1},
		{"tunnel=true", 4},
		{"url=" + all[0].url + "&anonymity=anonymous", 0}, // squid says in X-Forwarded-For who asked
		{"url=" + all[0].url + "&anonymity=transparent", 1},
	} {
		if got := s.total(t, tt.query); got != tt.want {
			t.Errorf("%s: %d proxies, want %d", tt.query, got, tt.want)
		}
	}
}

// TestAllUpstreamsDead: once the upstreams are gone the gateway says so and
// nothing goes out directly.
func TestAllUpstreamsDead(t *testing.T) {
	t.Parallel()
	need(t, "curl")
	o := newOrigin(t)
	plain, secure := o.judge(t)
	dead := freePort(t)
	list := filepath.Join(t.TempDir(), "dead.txt")
	if err := os.WriteFile(list, fmt.Appendf(nil, "http://127.9.0.9:%d\nsocks5://127.9.0.10:%d\n", dead, dead), 0o600); err != nil {
		t.Fatal(err)
	}
	s := serve(t, fmt.Sprintf(`
gateway: {listen: "GATEWAY"}
sources: {builtin: false, list: [{name: dead, file: %q}]}
checker: {judges: [%q, %q], judge_ca: %q, own_ips: [127.0.0.1]}
network: {allow_upstreams: [127.9.0.0/16], allow_targets: [127.0.0.0/8]}
`, list, plain, secure, o.ca))
	eventually(t, "both are found dead", func() bool { return s.total(t, "state=dead") == 2 })
	before := o.connections()
	for _, tt := range []struct {
		name string
		args []string
		want string
	}{
		{"http", []string{"-x", "http://" + s.gateway, o.http + "/page/10"}, "503"},
		{"connect", []string{"-x", "http://" + s.gateway, "--cacert", o.ca, o.https + "/page/10"}, "000"},
		{"socks5", []string{"-x", "socks5h://" + s.gateway, o.http + "/page/10"}, "000"},
	} {
		args := append([]string{"-s", "-m", "20", "--noproxy", "", "-o", os.DevNull, "-w", "%{http_code}"}, tt.args...)
		out, _ := run(t, nil, "curl", args...) // curl's exit code is not 0 where a tunnel is refused
		if string(out) != tt.want {
			t.Errorf("%s: curl saw %s, want %s", tt.name, out, tt.want)
		}
	}
	req, _ := http.NewRequest(http.MethodGet, o.http+"/page/10", nil)
	resp := s.throughGateway(t, req)
	defer resp.Body.Close()
	if resp.StatusCode != 503 || resp.Header.Get("Freeway-Error") != "no_upstream" || resp.Header.Get("Retry-After") == "" {
		t.Errorf("answer %d %v, want 503 with Freeway-Error: no_upstream and Retry-After", resp.StatusCode, resp.Header)
	}
	if after := o.connections(); after != before {
		t.Errorf("%d connections reached the target without an upstream", after-before)
	}
}
