package e2e_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"net/http/cgi"
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

// bench is a gateway over healthy upstreams and a site with what real clients want.
type bench struct {
	*server
	o          *origin
	plain, tls string // base URLs of the site
	proxy      string // the gateway's URL
}

// unproxied keeps the environment from having a say.
var unproxied = []string{"no_proxy=", "NO_PROXY=", "http_proxy=", "https_proxy=", "all_proxy="}

// upSecret is the password that one of the upstreams wants.
const upSecret = "UPSTREAMSECRET"

// newBench starts everything and waits until all upstreams are live. more is
// added to the configuration of the gateway, rest are further sections.
func newBench(t *testing.T, more, rest string) *bench {
	t.Helper()
	l, err := lab.Start(context.Background(), lab.Config{Seed: 3, AllowLoopback: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	var list strings.Builder
	protocols := []proxy.Protocol{proxy.HTTP, proxy.HTTP, proxy.SOCKS5, proxy.SOCKS4}
	for i, p := range protocols {
		u := lab.Upstream{Protocol: p}
		if i == 0 {
			u.User, u.Password = "up", upSecret
		}
		ep, err := l.Add(u)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintln(&list, strings.Replace(ep.String(), "up@", "up:"+upSecret+"@", 1))
	}
	dir := t.TempDir()
	for name, data := range map[string][]byte{"list.txt": []byte(list.String()), "judge.key": l.JudgeKey(), "ca.pem": l.CAPEM()} {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	b := &bench{o: newOrigin(t)}
	site := newSite(t)
	b.plain, b.tls = b.o.serve(t, site, false), b.o.serve(t, site, true)
	b.server = serve(t, fmt.Sprintf(`
gateway: {listen: "GATEWAY", rotation: round-robin%s}
sources: {builtin: false, list: [{name: lab, file: %q}]}
checker: {judges: [{url: %q, key_file: %q}, {url: %q, key_file: %q}], judge_ca: %q, own_ips: [127.0.0.1]}
network: {allow_upstreams: [127.0.0.0/8], allow_targets: [127.0.0.0/8]}
%s
`, more, dir+"/list.txt", l.JudgeHTTP()+"/", dir+"/judge.key", l.JudgeHTTPS()+"/", dir+"/judge.key", dir+"/ca.pem", rest))
	b.proxy = "http://" + b.gateway
	eventually(t, "all upstreams are live", func() bool { return b.total(t, "state=live") == len(protocols) })
	return b
}

// file is what /file serves.
const fileSize = 3 << 20

// newSite serves a file in ranges, a page with a script, an echoing WebSocket
// and, where git is installed, a repository.
func newSite(t *testing.T) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /file", func(w http.ResponseWriter, r *http.Request) {
		http.ServeContent(w, r, "file.bin", time.Unix(1, 0), bytes.NewReader(page(fileSize)))
	})
	mux.HandleFunc("GET /script", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		io.WriteString(w, `<title>t</title><p id=p>nothing</p><script>fetch("/word").then(r => r.text()).then(s => document.getElementById("p").textContent = s)</script>`) //nolint:errcheck // the client went away
	})
	mux.HandleFunc("GET /word", func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "reached") }) //nolint:errcheck // the client went away
	mux.HandleFunc("GET /socket/{name}", echoSocket)
	if git, err := exec.LookPath("git"); err == nil {
		root := repository(t, git)
		mux.Handle("/git/", &cgi.Handler{Path: git, Args: []string{"http-backend"}, Root: "/git", Env: []string{"GIT_PROJECT_ROOT=" + root, "GIT_HTTP_EXPORT_ALL=1"}, Stderr: io.Discard})
	}
	return mux
}

// repository makes a repository with one commit and returns the folder that it is in.
func repository(t *testing.T, git string) string {
	t.Helper()
	root := t.TempDir()
	work := filepath.Join(root, "r.git")
	steps := [][]string{{"init", "-q", work}, {"-C", work, "add", "file"}, {"-C", work, "-c", "user.name=t", "-c", "user.email=t@example.com", "commit", "-qm", "t"}}
	for i, args := range steps {
		if out, err := exec.Command(git, args...).CombinedOutput(); err != nil {
			t.Fatalf("git %v: %v: %s", args, err, out)
		}
		if i == 0 {
			if err := os.WriteFile(filepath.Join(work, "file"), page(300_000), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	return root
}

// echoSocket is a WebSocket server (RFC 6455) that sends one short text back and closes.
func echoSocket(w http.ResponseWriter, r *http.Request) {
	c, rw, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(patience))
	sum := sha1.Sum([]byte(r.Header.Get("Sec-WebSocket-Key") + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
	fmt.Fprintf(rw, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n\r\n",
		base64.StdEncoding.EncodeToString(sum[:]))
	if rw.Flush() != nil {
		return
	}
	text, err := readText(rw.Reader)
	if err != nil {
		return
	}
	_, _ = rw.Write(append([]byte{0x81, byte(len(text))}, text...))
	_, _ = rw.Write([]byte{0x88, 2, 0x03, 0xe8}) // closed normally
	_ = rw.Flush()
	_, _ = io.Copy(io.Discard, rw)
}

// readText reads one masked text frame of less than 126 bytes.
func readText(r *bufio.Reader) ([]byte, error) {
	var head [6]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return nil, err
	}
	text := make([]byte, head[1]&0x7f)
	if _, err := io.ReadFull(r, text); err != nil {
		return nil, err
	}
	for i := range text {
		text[i] ^= head[2+i%4]
	}
	return text, nil
}

// digest is the SHA-256 in hexadecimal.
func digest(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// wantDigests runs a client that prints a digest for each body, in any order.
func wantDigests(t *testing.T, name string, bodies [][]byte, env []string, program string, args ...string) {
	t.Helper()
	out, err := run(t, append(slices.Clone(unproxied), env...), program, args...)
	if err != nil {
		t.Errorf("%s: %v", name, err)
		return
	}
	got, want := strings.Fields(string(out)), []string{}
	for _, b := range bodies {
		want = append(want, digest(b))
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("%s: digests %q, want %q", name, got, want)
	}
}

// TestLibraries: the HTTP libraries that crawlers are written with.
func TestLibraries(t *testing.T) {
	t.Parallel()
	need(t, "/usr/bin/python3", "scrapy", "node")
	b := newBench(t, "", "")
	modules, authority := npm(t), []string{"NODE_EXTRA_CA_CERTS=" + b.o.ca}
	var urls []string
	var bodies [][]byte
	for _, n := range []int{0, 1, 70_000, 300_000} {
		urls = append(urls, fmt.Sprintf("%s/page/%d", b.o.http, n), fmt.Sprintf("%s/page/%d", b.o.https, n))
		bodies = append(bodies, page(n), page(n))
	}
	for _, library := range []string{"requests", "httpx", "aiohttp"} {
		wantDigests(t, library, bodies, nil, "/usr/bin/python3", append([]string{"testdata/clients/client.py", library, b.proxy, b.o.ca}, urls...)...)
	}
	for _, library := range []string{"undici", "axios"} {
		wantDigests(t, library, bodies, authority, "node", append([]string{"testdata/clients/client.js", modules, library, b.proxy}, urls...)...)
	}
	wantDigests(t, "scrapy", bodies, nil, "scrapy", "runspider", "testdata/clients/spider.py", "-a", "proxy="+b.proxy, "-a", "urls="+strings.Join(urls, ","))
	sockets := []string{strings.Replace(b.tls, "https", "wss", 1) + "/socket/a", strings.Replace(b.plain, "http", "ws", 1) + "/socket/b"}
	wantDigests(t, "WebSocket over CONNECT", [][]byte{[]byte("/socket/a"), []byte("/socket/b")}, authority,
		"node", append([]string{"testdata/clients/client.js", modules, "ws", b.proxy}, sockets...)...)
	if exits := b.o.seen(); len(exits) < 4 {
		t.Errorf("the requests left from %v, want all four upstreams", exits)
	}
}

// TestPrograms: the programs that people put behind a proxy.
func TestPrograms(t *testing.T) {
	t.Parallel()
	need(t, "curl", "aria2c", "git", "proxychains4", "ncat", "nc.openbsd")
	b := newBench(t, "", "")
	dir := t.TempDir()
	file := page(fileSize)
	for name, base := range map[string]string{"http": b.plain, "https": b.tls} {
		out := "aria2-" + name
		_, err := run(t, unproxied, "aria2c", "-q", "--no-conf", "--all-proxy="+b.proxy, "--ca-certificate="+b.o.ca, "-x4", "-s4", "-k1M", "-d", dir, "-o", out, base+"/file")
		sameFile(t, "aria2 "+name, filepath.Join(dir, out), file, err)
		clone := filepath.Join(dir, "clone-"+name)
		_, err = run(t, append([]string{"GIT_CONFIG_GLOBAL=/dev/null", "GIT_TERMINAL_PROMPT=0", "GIT_SSL_CAINFO=" + b.o.ca}, unproxied...), "git",
			"-c", "http.proxy="+b.proxy, "clone", "-q", base+"/git/r.git", clone)
		sameFile(t, "git "+name, filepath.Join(clone, "file"), page(300_000), err)
	}
	upload := filepath.Join(dir, "upload")
	if err := os.WriteFile(upload, page(1<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, args := range map[string][]string{
		"a POST of 1 MiB with Expect":   {"-x", b.proxy, "-H", "Expect: 100-continue", "--data-binary", "@" + upload, b.o.http + "/echo"},
		"a POST of 1 MiB in chunks":     {"-x", b.proxy, "-H", "Transfer-Encoding: chunked", "--data-binary", "@" + upload, b.o.http + "/echo"},
		"a POST of 1 MiB in a tunnel":   {"-x", b.proxy, "--cacert", b.o.ca, "--data-binary", "@" + upload, b.o.https + "/echo"},
		"a POST through SOCKS5 at 1 go": {"-x", "socks5h://" + b.gateway, "--data-binary", "@" + upload, b.o.http + "/echo"},
	} {
		got, err := run(t, unproxied, "curl", append([]string{"-sSf"}, args...)...)
		if err != nil || !bytes.Equal(got, page(1<<20)) {
			t.Errorf("curl, %s: %d bytes, %v", name, len(got), err)
		}
	}
	b.viaChains(t, dir)
	b.viaNetcat(t)
}

// sameFile compares what a client wrote.
func sameFile(t *testing.T, name, path string, want []byte, err error) {
	t.Helper()
	if err != nil {
		t.Errorf("%s: %v", name, err)
		return
	}
	if got, err := os.ReadFile(path); err != nil || !bytes.Equal(got, want) {
		t.Errorf("%s: %d bytes, %v; want the file of %d", name, len(got), err, len(want))
	}
}

// viaChains runs a program that knows no proxies behind proxychains4.
func (b *bench) viaChains(t *testing.T, dir string) {
	t.Helper()
	host, port, _ := strings.Cut(b.gateway, ":")
	for _, kind := range []string{"http", "socks4", "socks5"} {
		conf := filepath.Join(dir, kind+".conf")
		text := fmt.Sprintf("strict_chain\nquiet_mode\nproxy_dns\n[ProxyList]\n%s %s %s\n", kind, host, port)
		if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		got, err := run(t, unproxied, "proxychains4", "-q", "-f", conf, "curl", "-sSf", "--cacert", b.o.ca, b.o.https+"/page/70000")
		if err != nil || !bytes.Equal(got, page(70_000)) {
			t.Errorf("proxychains4 %s: %d bytes, %v", kind, len(got), err)
		}
	}
}

// viaNetcat opens raw tunnels with ncat and the netcat of OpenBSD.
func (b *bench) viaNetcat(t *testing.T) {
	t.Helper()
	host, port, _ := strings.Cut(strings.TrimPrefix(b.o.http, "http://"), ":")
	request := fmt.Sprintf("GET /page/70000 HTTP/1.1\r\nHost: %s:%s\r\nConnection: close\r\n\r\n", host, port)
	for name, args := range map[string][]string{
		"ncat http":   {"ncat", "--proxy", b.gateway, "--proxy-type", "http", host, port},
		"ncat socks5": {"ncat", "--proxy", b.gateway, "--proxy-type", "socks5", host, port},
		"ncat socks4": {"ncat", "--proxy", b.gateway, "--proxy-type", "socks4", host, port},
		"nc connect":  {"nc.openbsd", "-X", "connect", "-x", b.gateway, host, port},
		"nc 5":        {"nc.openbsd", "-X", "5", "-x", b.gateway, host, port},
		"nc 4":        {"nc.openbsd", "-X", "4", "-x", b.gateway, host, port},
	} {
		got, err := talk(t, request, args...)
		if err != nil || !bytes.Equal(got, page(70_000)) {
			t.Errorf("%s: %d bytes, %v", name, len(got), err)
		}
	}
}

// talk sends a request to a program and reads the answer that it prints. Its
// input stays open until then: some programs end with it.
func talk(t *testing.T, request string, args ...string) ([]byte, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	defer func() {
		cancel()
		_ = cmd.Wait() // it was killed, if it did not end by itself
	}()
	if _, err := io.WriteString(in, request); err != nil {
		return nil, err
	}
	p, err := http.ReadResponse(bufio.NewReader(out), nil)
	if err != nil {
		return nil, err
	}
	return io.ReadAll(p.Body)
}

// TestChromium: a page and what its script fetches, in plain HTTP and in TLS.
func TestChromium(t *testing.T) {
	t.Parallel()
	need(t, "chromium")
	b := newBench(t, "", "")
	for name, base := range map[string]string{"http": b.plain, "https": b.tls} {
		home := t.TempDir()
		args := []string{"--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage",
			"--user-data-dir=" + home, "--proxy-server=" + b.proxy, "--proxy-bypass-list=<-loopback>", "--ignore-certificate-errors-spki-list=" + spki(t, b.o.cert),
			"--virtual-time-budget=20000", "--dump-dom", base + "/script"}
		got, err := run(t, append([]string{"HOME=" + home}, unproxied...), "chromium", args...)
		if err != nil || !strings.Contains(string(got), "<p id=\"p\">reached</p>") {
			t.Errorf("Chromium, %s: %v: %s", name, err, tail(string(got), 500))
		}
	}
}

// spki is the pin of a certificate's key as Chromium takes it.
func spki(t *testing.T, file string) string {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(data)
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(cert.RawSubjectPublicKeyInfo)
	return base64.StdEncoding.EncodeToString(sum[:])
}
