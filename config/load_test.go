package config_test

import (
	"errors"
	"flag"
	"io"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"freeway/config"
	"freeway/proxy"
)

var update = flag.Bool("update", false, "write the golden files")

// same compares configurations; secrets by their text, empty lists like none.
var same = cmp.Options{
	cmpopts.EquateEmpty(),
	cmp.Comparer(func(a, b proxy.Secret) bool { return a.Reveal() == b.Reveal() }),
	cmpopts.EquateComparable(netip.Prefix{}, netip.Addr{}),
}

func env(pairs ...string) func(string) (string, bool) {
	m := map[string]string{}
	for i := 0; i < len(pairs); i += 2 {
		m[pairs[i]] = pairs[i+1]
	}
	return func(k string) (string, bool) { v, ok := m[k]; return v, ok }
}

// write puts text into a file of the test.
func write(t testing.TB, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "freeway.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func load(t testing.TB, text string, opt config.LoadOptions) (config.Config, error) {
	t.Helper()
	opt.Path = "freeway.yaml"
	opt.Open = func(string) (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(text)), nil }
	return config.Load(opt)
}

func TestLoadNothingGivesDefaults(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]string{"empty": "", "comment": "# nothing\n", "nulls": "gateway:\nadmin: {listen: }\nsources: {list: null}\n",
		"document": "---\n"} {
		got, err := load(t, text, config.LoadOptions{})
		if err != nil {
			t.Errorf("Load of %s = %v", name, err)
		}
		if diff := cmp.Diff(config.Default(), got, same); diff != "" {
			t.Errorf("Load of %s differs from the defaults:\n%s", name, diff)
		}
	}
	if err := config.Default().Validate(); err != nil {
		t.Errorf("the defaults are not valid: %v", err)
	}
}

func TestLoadOrder(t *testing.T) {
	t.Parallel()
	file := "admin: {listen: 127.0.0.1:1001}\nlog: {level: warn, format: json}\nscraper: {timeout: 3s}\n"
	got, err := load(t, file, config.LoadOptions{
		Lookup: env("FREEWAY_ADMIN_LISTEN", "127.0.0.1:1002", "FREEWAY_LOG_LEVEL", "error", "FREEWAY_SCRAPER_MAX_BYTES", "1MiB", "FREEWAY_STORE_PATH", ""),
		Flags: []config.Flag{{Name: "--admin.listen", Path: "admin.listen", Value: "127.0.0.1:1003"},
			{Name: "--sources.builtin", Path: "sources.builtin", Value: "false"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	want := config.Default()
	want.Admin.Listen = "127.0.0.1:1003" // flag over variable over file
	want.Log.Level, want.Log.Format = "error", "json"
	want.Scraper.Timeout, want.Scraper.MaxBytes = 3*time.Second, 1<<20
	want.Sources.Builtin.All = false
	if diff := cmp.Diff(want, got, same); diff != "" {
		t.Errorf("Load (-want +got):\n%s", diff)
	}
}

func TestLoadListsFromVariables(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"10.0.0.0/8,127.0.0.0/8", "10.0.0.0/8, 127.0.0.0/8", "[10.0.0.0/8, 127.0.0.0/8]", "- 10.0.0.0/8\n- 127.0.0.0/8"} {
		got, err := config.Load(config.LoadOptions{Lookup: env("FREEWAY_NETWORK_ALLOW_UPSTREAMS", text)})
		if err != nil || len(got.Network.AllowUpstreams) != 2 || got.Network.AllowUpstreams[1].String() != "127.0.0.0/8" {
			t.Errorf("FREEWAY_NETWORK_ALLOW_UPSTREAMS=%q = %v, %v", text, got.Network.AllowUpstreams, err)
		}
	}
	got, err := config.Load(config.LoadOptions{Lookup: env("FREEWAY_SOURCES_LIST", "[{name: a, url: 'https://example.com/a.txt', protocols: [socks5]}]",
		"FREEWAY_ADMIN_TOKEN", "#not a: [comment]")})
	if err != nil || len(got.Sources.List) != 1 || got.Sources.List[0].Protocols[0] != "socks5" {
		t.Errorf("FREEWAY_SOURCES_LIST gives %+v, %v", got.Sources.List, err)
	}
	if got.Admin.Token.Reveal() != "#not a: [comment]" {
		t.Errorf("a plain value is not taken literally: %q", got.Admin.Token.Reveal())
	}
}

func TestLoadErrorsNameTheirOrigin(t *testing.T) {
	t.Parallel()
	_, err := load(t, "scraper: {timeout: soon}\nscrapper: {}\n", config.LoadOptions{
		Lookup: env("FREEWAY_SCRAPER_CONCURRENCY", "1000", "FREEWAY_LOG_FORMAT", "xml"),
		Flags:  []config.Flag{{Name: "--log-level", Path: "log.level", Value: "loud"}, {Name: "--x", Path: "no.such", Value: "1"}},
	})
	var errs config.Errors
	if !errors.As(err, &errs) {
		t.Fatalf("Load = %T %v, want Errors", err, err)
	}
	got := map[string]string{}
	for _, e := range errs {
		got[e.Path] = filepath.Base(e.Where)
	}
	want := map[string]string{"scraper.timeout": "freeway.yaml:1", "scrapper": "freeway.yaml:2", "scraper.concurrency": "$FREEWAY_SCRAPER_CONCURRENCY",
		"log.format": "$FREEWAY_LOG_FORMAT", "log.level": "--log-level", "no.such": "--x"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("where the mistakes are (-want +got):\n%s\n%v", diff, err)
	}
}

// TestVariableReplacesTheFilesPlace: what a variable replaced is not reported at the file's line.
func TestVariableReplacesTheFilesPlace(t *testing.T) {
	t.Parallel()
	_, err := load(t, "sources:\n  list:\n    - {name: ok, url: 'https://example.com/'}\n", config.LoadOptions{
		Lookup: env("FREEWAY_SOURCES_LIST", "[{name: bad name, url: 'https://example.com/'}]")})
	if err == nil || !strings.HasPrefix(err.Error(), "$FREEWAY_SOURCES_LIST: sources.list[0].name: ") {
		t.Errorf("Load = %v, want the variable to be named", err)
	}
}

// TestBadFiles compares the exact messages about each file in testdata/bad.
func TestBadFiles(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/bad/*.yaml")
	if err != nil || len(files) < 10 {
		t.Fatalf("Glob = %v, %v", files, err)
	}
	for _, path := range files {
		golden := strings.TrimSuffix(path, ".yaml") + ".txt"
		_, err := config.Load(config.LoadOptions{Path: path})
		if err == nil {
			t.Errorf("Load(%s) finds nothing", path)
			continue
		}
		got := strings.ReplaceAll(err.Error(), "testdata/bad/", "") + "\n"
		if *update {
			if err := os.WriteFile(golden, []byte(got), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(golden)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(want), got); diff != "" {
			t.Errorf("Load(%s) (-want +got):\n%s", path, diff)
		}
	}
}

func TestLoadRefusesWhatIsNoFile(t *testing.T) {
	t.Parallel()
	big := write(t, strings.Repeat("# comment\n", 200_000))
	for _, path := range []string{filepath.Join(t.TempDir(), "missing.yaml"), t.TempDir(), big} {
		if _, err := config.Load(config.LoadOptions{Path: path}); err == nil || !strings.HasPrefix(err.Error(), "configuration: ") {
			t.Errorf("Load(%s) = %v, want an error", path, err)
		}
	}
}

func TestFind(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	xdg := filepath.Join(dir, "xdg")
	if got := config.Find(env("XDG_CONFIG_HOME", xdg)); got != "" {
		t.Errorf("Find = %q with no file", got)
	}
	inXDG := filepath.Join(xdg, "freeway", "freeway.yaml")
	touch(t, inXDG)
	if got := config.Find(env("XDG_CONFIG_HOME", xdg)); got != inXDG {
		t.Errorf("Find = %q, want %q", got, inXDG)
	}
	inHome := filepath.Join(dir, ".config", "freeway", "freeway.yaml")
	touch(t, inHome)
	if got := config.Find(env("HOME", dir)); got != inHome {
		t.Errorf("Find = %q, want %q", got, inHome)
	}
	touch(t, "freeway.yaml")
	if got := config.Find(env("XDG_CONFIG_HOME", xdg, "HOME", dir)); got != "freeway.yaml" {
		t.Errorf("Find = %q, want freeway.yaml", got)
	}
}

func touch(t *testing.T, path string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestVariablesAreUnique: no two paths share the name of their variable.
func TestVariablesAreUnique(t *testing.T) {
	t.Parallel()
	seen := map[string]string{}
	for _, p := range config.Paths() {
		v := strings.ToUpper(strings.ReplaceAll(p, ".", "_"))
		if other, twice := seen[v]; twice {
			t.Errorf("%s and %s share a variable", p, other)
		}
		seen[v] = p
	}
	if len(seen) < 20 {
		t.Errorf("only %d paths: %v", len(seen), slices.Sorted(maps.Keys(seen)))
	}
}

// FuzzLoad: whatever a file holds, Load does not panic, and what it accepts is
// shown in a form that means the same.
func FuzzLoad(f *testing.F) {
	f.Add(config.InitText())
	for _, seed := range []string{"a: [&x 1, *x]", "&a {a: *a}", "gateway: {users: [{name: a, password: b}]}", "store: {path: \"\\x00\"}", "? [a]\n: b",
		"sources: {builtin: [a, b], list: [{name: x, url: 'http://u:p@h/?key=1', headers: {A: b}}]}", "checker: {judges: [http://a/, {url: b, key_file: c}]}",
		"network: {allow_upstreams: [10.0.0.0/8]}", "<<: {a: b}", "--- 1\n--- 2\n", "log: !!binary aGk="} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		first, err := load(t, text, config.LoadOptions{})
		if err != nil {
			return
		}
		shown := config.Show(first)
		second, err := load(t, shown, config.LoadOptions{})
		if err != nil {
			if strings.Contains(shown, "***") {
				return // a masked URL or header need not be valid
			}
			t.Fatalf("Show gives what Load refuses: %v\n%s", err, shown)
		}
		if again := config.Show(second); again != shown {
			t.Errorf("Show is not stable:\n%s", cmp.Diff(shown, again))
		}
	})
}
