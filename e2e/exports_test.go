package e2e_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v4"

	"freeway/api"
	"freeway/lab"
	"freeway/pool"
	"freeway/proxy"
	"freeway/scraper"
)

// stock is the admin API over a pool whose proxies have all passed a check.
func stock(t *testing.T, urls ...string) string {
	t.Helper()
	p, err := pool.Open(t.Context(), pool.Config{}, pool.Env{Policy: proxy.NewAddrPolicy(netip.MustParsePrefix("127.0.0.0/8"))})
	if err != nil {
		t.Fatal(err)
	}
	var all []proxy.Candidate
	for _, u := range urls {
		ep, err := proxy.Parse(u)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, proxy.Candidate{Endpoint: ep})
	}
	if _, err := p.Add(t.Context(), "list", all); err != nil {
		t.Fatal(err)
	}
	for range urls {
		job, err := p.Next(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		v := proxy.Verdict{Job: job}
		for _, e := range job.Entries {
			v.Outcomes = append(v.Outcomes, proxy.Outcome{Endpoint: e.Endpoint, At: time.Now(), Stage: proxy.StageVerify, Origin: proxy.FromCheck,
				Learned: &proxy.Traits{Forward: proxy.Yes, Tunnel: proxy.Yes, TunnelAny: proxy.Yes, RemoteDNS: proxy.Yes}})
		}
		p.Report(v)
	}
	a, err := api.Open(api.Config{}, nil, api.Env{Pool: p, Hub: api.NewHub(time.Now()), Version: "test"})
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(a.Handler())
	t.Cleanup(srv.Close)
	return srv.URL
}

// export fetches a list in a format into a file.
func export(t *testing.T, base, format string) (path, text string) {
	t.Helper()
	resp, err := http.Get(base + "/api/proxies?format=" + format)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("format %s = %s %s (%v)", format, resp.Status, body, err)
	}
	path = filepath.Join(t.TempDir(), "export."+format)
	if err := os.WriteFile(path, body, 0o644); err != nil {
		t.Fatal(err)
	}
	return path, string(body)
}

// everything that a list can hold; nothing of it is dialled.
var everything = []string{"http://9.9.9.9:8080", "https://9.9.9.10:443", "socks4://9.9.9.11:1080", "socks5://9.9.9.12:1080", "http://[2620:fe::9]:3128", "http://proxy.example.org:3128"}

func TestExportProxychains(t *testing.T) {
	t.Parallel()
	need(t, "proxychains4", "curl")
	l, err := lab.Start(t.Context(), lab.Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() }) //nolint:errcheck // it is over
	var urls []string
	for _, p := range []proxy.Protocol{proxy.HTTP, proxy.SOCKS4, proxy.SOCKS5} {
		ep, err := l.Add(lab.Upstream{Protocol: p})
		if err != nil {
			t.Fatal(err)
		}
		urls = append(urls, ep.String())
	}
	conf, text := export(t, stock(t, urls...), "proxychains")
	for range 6 {
		out, err := run(t, nil, "proxychains4", "-q", "-f", conf, "curl", "-sS", "--max-time", "20", l.HTTPTarget()+"/bytes/100?seed=7")
		if err != nil || len(out) != 100 {
			t.Fatalf("curl through proxychains4 = %d bytes, %v\n%s", len(out), err, text)
		}
	}
	if n := l.DirectHits(); n != 0 {
		t.Errorf("%d connections came directly, want none", n)
	}
	// It must also read the rest.
	if out, err := run(t, nil, "proxychains4", "-q", "-f", first(export(t, stock(t, everything...), "proxychains")), "true"); err != nil {
		t.Errorf("proxychains4: %v %s", err, out)
	}
}

func first(a, _ string) string { return a }

func TestExportHAProxy(t *testing.T) {
	t.Parallel()
	need(t, "haproxy")
	for _, list := range [][]string{everything, nil} {
		path, text := export(t, stock(t, list...), "haproxy")
		if out, err := run(t, nil, "haproxy", "-c", "-f", path); err != nil {
			t.Errorf("haproxy -c: %v %s\n%s", err, out, text)
		}
		if len(list) > 0 && (!strings.Contains(text, " 9.9.9.9:8080 ") || !strings.Contains(text, " 9.9.9.12:1080 ")) {
			t.Errorf("the file does not hold the proxies:\n%s", text)
		}
	}
}

func TestExportSquid(t *testing.T) {
	t.Parallel()
	need(t, "squid")
	for _, list := range [][]string{{"http://9.9.9.9:8080", "http://[2620:fe::9]:3128"}, nil} {
		path, text := export(t, stock(t, list...), "squid")
		out, err := run(t, nil, "squid", "-k", "parse", "-f", path)
		if err != nil {
			t.Errorf("squid -k parse: %v %s\n%s", err, out, text)
		}
		if got := strings.Count(text, "cache_peer "); got != len(list) {
			t.Errorf("%d peers, want %d:\n%s", got, len(list), text)
		}
	}
}

func TestExportPAC(t *testing.T) {
	t.Parallel()
	need(t, "node")
	modules := npm(t)
	path, text := export(t, stock(t, everything...), "pac")
	script := fmt.Sprintf(`
const { createPacResolver } = require(%q), { getQuickJS } = require(%q), fs = require("fs");
getQuickJS().then(async (js) => {
  const find = createPacResolver(js, fs.readFileSync(%q));
  const seen = new Set();
  for (let i = 0; i < 200; i++) for (const p of (await find("https://h" + i + ".example.org/")).split("; ")) seen.add(p);
  console.log(JSON.stringify([...seen].sort()));
});`, modules+"/pac-resolver", modules+"/@tootallnate/quickjs-emscripten", path)
	out, err := run(t, nil, "node", "-e", script)
	if err != nil {
		t.Fatalf("pac-resolver: %v\n%s", err, text)
	}
	var got []string
	if err := json.Unmarshal(out, &got); err != nil || len(got) != len(everything) {
		t.Errorf("the file names %s (%v), want all %d", out, err, len(everything))
	}
	if strings.Contains(text, "DIRECT") {
		t.Error("the file lets connections go directly")
	}
}

// npm is where the modules of e2e/npm are installed.
func npm(t *testing.T) string {
	t.Helper()
	dir, err := filepath.Abs("npm/node_modules")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(dir); err != nil {
		if os.Getenv("FREEWAY_REQUIRE_PEERS") != "" {
			t.Fatal("the modules of e2e/npm are not installed; run make npm")
		}
		t.Skip("skipped: the modules of e2e/npm are not installed; run make npm")
	}
	return dir
}

// Clash files are read back by the reader for lists of that kind, which knows
// nothing of the writer, and every group names proxies that exist.
func TestExportClash(t *testing.T) {
	t.Parallel()
	_, text := export(t, stock(t, everything...), "clash")
	var file struct {
		Proxies []map[string]any `yaml:"proxies"`
		Groups  []struct {
			Proxies []string `yaml:"proxies"`
		} `yaml:"proxy-groups"`
		Rules []string `yaml:"rules"`
	}
	if err := yaml.Unmarshal([]byte(text), &file); err != nil || len(file.Proxies) != 5 || len(file.Groups) != 1 || len(file.Rules) != 1 {
		t.Fatalf("%d proxies, %d groups, %d rules (%v), want 5, 1 and 1:\n%s", len(file.Proxies), len(file.Groups), len(file.Rules), err, text)
	}
	for i, p := range file.Proxies {
		if file.Groups[0].Proxies[i] != p["name"] || p["server"] == "" || p["type"] != "http" && p["type"] != "socks5" {
			t.Errorf("proxy %d is %v", i, p)
		}
	}
	found := 0
	for range readBack(t, text, "yaml") {
		found++
	}
	if found != 5 {
		t.Errorf("the list reader finds %d proxies in it, want 5", found)
	}
}

// readBack parses a file as a list.
func readBack(t *testing.T, text, as string) map[proxy.Endpoint]bool {
	t.Helper()
	found := map[proxy.Endpoint]bool{}
	for c, err := range scraper.Parse(strings.NewReader(text), scraper.ParseOptions{As: as}) {
		if err == nil {
			found[c.Endpoint] = true
		}
	}
	return found
}

// sing-box and FoxyProxy cannot be had: their files are checked against what
// their documentation demands.
func TestExportSingBox(t *testing.T) {
	t.Parallel()
	_, text := export(t, stock(t, everything...), "sing-box")
	var file struct {
		Outbounds []struct {
			Type, Tag, Server, Version string
			ServerPort                 int `json:"server_port"`
			TLS                        struct{ Enabled bool }
			Outbounds                  []string
		}
		Route struct{ Final string }
	}
	if err := json.Unmarshal([]byte(text), &file); err != nil || len(file.Outbounds) != 1+len(everything) {
		t.Fatalf("%d outbounds (%v):\n%s", len(file.Outbounds), err, text)
	}
	tags := map[string]bool{}
	for _, o := range file.Outbounds[1:] {
		tags[o.Tag] = true
		if o.Type != "http" && (o.Type != "socks" || o.Version != "5" && o.Version != "4a") || o.Server == "" || o.ServerPort == 0 ||
			o.TLS.Enabled != strings.HasPrefix(o.Tag, "https:") {
			t.Errorf("outbound %+v", o)
		}
	}
	group := file.Outbounds[0]
	for _, name := range group.Outbounds {
		if !tags[name] {
			t.Errorf("the group names %q, which is not there", name)
		}
	}
	if group.Tag != file.Route.Final || group.Type != "urltest" || len(group.Outbounds) != len(everything) {
		t.Errorf("group %+v and final %q", group, file.Route.Final)
	}
}

func TestExportFoxyProxy(t *testing.T) {
	t.Parallel()
	_, text := export(t, stock(t, everything...), "foxyproxy")
	var file struct {
		Mode string
		Data []map[string]any
	}
	if err := json.Unmarshal([]byte(text), &file); err != nil || file.Mode != "disable" || len(file.Data) != len(everything) {
		t.Fatalf("%d proxies, mode %q (%v):\n%s", len(file.Data), file.Mode, err, text)
	}
	for _, p := range file.Data {
		if port, ok := p["port"].(string); !ok || port == "" || p["hostname"] == "" || p["active"] != true {
			t.Errorf("proxy %v", p)
		}
	}
}

func TestExportScrapy(t *testing.T) {
	t.Parallel()
	need(t, "python3")
	path, text := export(t, stock(t, everything...), "scrapy")
	out, err := run(t, nil, "python3", "-c", "import runpy, sys; print('\\n'.join(runpy.run_path(sys.argv[1])['ROTATING_PROXY_LIST']))", path)
	want := "http://9.9.9.9:8080\nhttp://[2620:fe::9]:3128\nhttp://proxy.example.org:3128\n"
	if got := readBack(t, string(out), "text"); err != nil || len(got) != 3 || len(out) != len(want) {
		t.Errorf("python reads %q (%v) from\n%s", out, err, text)
	}
}

// The OpenAPI document makes a TypeScript client that compiles, and redocly
// finds no error in it.
func TestOpenAPI(t *testing.T) {
	t.Parallel()
	need(t, "node")
	bin := npm(t) + "/.bin/"
	dir := t.TempDir()
	path := filepath.Join(dir, "openapi.json")
	resp, err := http.Get(stock(t) + "/api/openapi.json")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	doc, err := io.ReadAll(resp.Body)
	if err != nil || os.WriteFile(path, doc, 0o644) != nil {
		t.Fatal(err)
	}
	quiet := []string{"REDOCLY_TELEMETRY=off", "REDOCLY_SUPPRESS_UPDATE_NOTICE=true"}
	if out, err := run(t, quiet, bin+"redocly", "lint", "--extends", "recommended", path); err != nil {
		t.Errorf("redocly: %v\n%s", err, out)
	}
	types := filepath.Join(dir, "schema.d.ts")
	if _, err := run(t, nil, bin+"openapi-typescript", path, "-o", types); err != nil {
		t.Fatal(err)
	}
	use := filepath.Join(dir, "use.ts")
	client := `import type { paths } from "./schema.d.ts";
type Page = paths["/api/proxies"]["get"]["responses"]["200"]["content"]["application/json"];
export function best(p: Page): string { const first = p.items?.[0]; return first ? first.url + first.score.toFixed(2) : ""; }
`
	if err := os.WriteFile(use, []byte(client), 0o644); err != nil {
		t.Fatal(err)
	}
	if out, err := run(t, nil, bin+"tsc", "--noEmit", "--strict", "--target", "es2022", "--moduleResolution", "bundler", "--module", "esnext", "--allowImportingTsExtensions", "--skipLibCheck", use); err != nil {
		t.Errorf("tsc: %v\n%s", err, out)
	}
}
