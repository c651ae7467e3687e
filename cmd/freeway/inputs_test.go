package main

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"freeway/proxy"
)

func TestKindOf(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "1.2.3.4:80")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for arg, want := range map[string]inputKind{
		"-": inputStdin, "list.txt": inputFile, "missing/list": inputFile, file: inputFile,
		"https://example.com/list.txt": inputURL, "http://example.com": inputURL, "http://example.com:8080/list": inputURL, "http://example.com:80/?a=b": inputURL,
		"http://1.2.3.4:8080": inputProxy, "https://1.2.3.4:443/": inputProxy, "socks5://h.example:1": inputProxy, "SOCKS4://1.2.3.4:1": inputProxy,
		"1.2.3.4:80": inputProxy, "proxy.example.com:3128": inputProxy, "[2001:db8::1]:80": inputProxy, "gopher://1.2.3.4:70": inputProxy,
	} {
		if got := kindOf(arg); got != want {
			t.Errorf("kindOf(%q) = %v, want %v", arg, got, want)
		}
	}
}

func TestRedact(t *testing.T) {
	t.Parallel()
	for arg, want := range map[string]string{"list.txt": `"list.txt"`, "socks5://bob:hunter2@1.2.3.4:1": `"socks5://bob:***@1.2.3.4:1"`,
		"bob:hunter2@1.2.3.4:1": `"bob:***@1.2.3.4:1"`, "http://a:b@c@d:1": `"http://a:***@d:1"`} {
		if got := redact(arg); got != want {
			t.Errorf("redact(%q) = %s, want %s", arg, got, want)
		}
	}
}

func TestSourceName(t *testing.T) {
	t.Parallel()
	for arg, want := range map[string]string{"-": "stdin", "1.2.3.4:80": "arguments", "a/b/list one.txt": "list_one.txt", "https://example.com/x/list.txt?k=1": "list.txt_k_1"} {
		if got := sourceName(arg); got != want {
			t.Errorf("sourceName(%q) = %q, want %q", arg, got, want)
		}
	}
	if got := sourceName(strings.Repeat("x", 100)); len(got) != 64 {
		t.Errorf("a long name has %d characters, want 64", len(got))
	}
}

// entries are a live proxy and one that failed.
func entries(t *testing.T) []proxy.Entry {
	t.Helper()
	live, err := proxy.Parse("socks5://198.51.100.7:1080")
	if err != nil {
		t.Fatal(err)
	}
	dead, err := proxy.Parse("http://[2001:db8::7]:3128")
	if err != nil {
		t.Fatal(err)
	}
	return []proxy.Entry{
		{Endpoint: live, Password: proxy.NewSecret("hunter2"), State: proxy.Live, Score: 0.5, Latency: 412 * time.Millisecond, Sources: []string{"=list"},
			Traits: proxy.Traits{Tunnel: proxy.Yes, TunnelAny: proxy.Yes, Anonymity: proxy.Elite, ExitIP: netip.MustParseAddr("198.51.100.8"), Country: "DE"}},
		{Endpoint: dead, State: proxy.Dead, Error: proxy.Fault{Stage: proxy.StageConnect, Class: proxy.Timeout}},
	}
}

// printed is what a printer makes of some entries.
func printed(t *testing.T, format string, entries ...proxy.Entry) string {
	t.Helper()
	var b bytes.Buffer
	p, err := newPrinter(format, &b, true)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if err := p.print(e); err != nil {
			t.Fatal(err)
		}
	}
	if err := p.close(); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(b.String(), "hunter2") {
		t.Errorf("format %s prints the password", format)
	}
	return b.String()
}

func TestPrintersAreReadable(t *testing.T) {
	t.Parallel()
	all := entries(t)
	if got, want := printed(t, "txt", all...), "socks5://198.51.100.7:1080\nhttp://[2001:db8::7]:3128\n"; got != want {
		t.Errorf("txt = %q, want %q", got, want)
	}
	want := "PROXY                                            MS ANONYMITY   EXIT            COUNTRY CAN, OR WHAT FAILED\n" +
		"socks5://198.51.100.7:1080                      412 elite       198.51.100.8    DE      tunnel any-port\n" +
		"http://[2001:db8::7]:3128                         - -           -               -       dead: connect timeout\n"
	if diff := cmp.Diff(want, printed(t, "table", all...)); diff != "" {
		t.Errorf("table (-want +got):\n%s", diff)
	}
}

func TestPrintersParse(t *testing.T) {
	t.Parallel()
	all := entries(t)
	for _, some := range [][]proxy.Entry{nil, all[:1], all} {
		var list []map[string]any
		if err := json.Unmarshal([]byte(printed(t, "json", some...)), &list); err != nil || len(list) != len(some) {
			t.Errorf("json of %d entries has %d: %v", len(some), len(list), err)
		}
		rows, err := csv.NewReader(strings.NewReader(printed(t, "csv", some...))).ReadAll()
		if err != nil || len(rows) != len(some)+1 {
			t.Errorf("csv of %d entries has %d rows: %v", len(some), len(rows), err)
		}
		lines := strings.Split(strings.TrimSpace(printed(t, "ndjson", some...)), "\n")
		for i := range some {
			var one struct{ URL, State string }
			if err := json.Unmarshal([]byte(lines[i]), &one); err != nil || one.URL != some[i].Endpoint.String() || one.State != some[i].State.String() {
				t.Errorf("ndjson line %q: %v", lines[i], err)
			}
		}
	}
	if text := printed(t, "csv", all...); !strings.Contains(text, ",'=list,") {
		t.Errorf("a formula is not disarmed:\n%s", text)
	}
}

func TestReachable(t *testing.T) {
	t.Parallel()
	for listen, want := range map[string]string{"127.0.0.1:80": "127.0.0.1:80", ":80": "127.0.0.1:80", "0.0.0.0:80": "127.0.0.1:80", "[::]:80": "127.0.0.1:80",
		"host.example:80": "host.example:80", "nonsense": "nonsense"} {
		if got := reachable(listen); got != want {
			t.Errorf("reachable(%q) = %q, want %q", listen, got, want)
		}
	}
}
