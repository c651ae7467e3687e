package config_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"freeway/config"
)

// TestCheckFiles: what serve could not open is told with file, line and path.
func TestCheckFiles(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	put(t, filepath.Join(dir, "empty"), "\n")
	put(t, filepath.Join(dir, "short"), "abc")
	put(t, filepath.Join(dir, "plain"), "no certificate")
	file := filepath.Join(dir, "freeway.yaml")
	put(t, file, `store: {path: gone/freeway.db}
gateway:
  users: [{name: bob, password_file: nobody}]
  tls:
    listen: 127.0.0.1:0
    cert: plain
    key: .
admin:
  token_file: empty
checker:
  judges:
    - http://127.0.0.1:1/
    - {url: "http://127.0.0.1:2/", key_file: short}
    - {url: "http://127.0.0.1:3/", key_file: nokey}
  judge_ca: plain
geo:
  database: places.mmdb
audit:
  path: nowhere/audit.log
`)
	opt := config.LoadOptions{Path: file}
	cfg, err := config.Load(opt)
	if err != nil {
		t.Fatalf("Load looks at files: %v", err)
	}
	err = config.CheckFiles(cfg, opt)
	if err == nil {
		t.Fatal("CheckFiles = nil")
	}
	got := strings.ReplaceAll(strings.ReplaceAll(err.Error(), filepath.ToSlash(dir)+"/", ""), dir, "DIR")
	want := `freeway.yaml:1: store.path: there is no folder "gone"
freeway.yaml:3: gateway.users[0].password_file: there is no file "nobody"
freeway.yaml:7: gateway.tls.key: "DIR" is a folder, not a file
freeway.yaml:9: admin.token_file: "empty" is empty
freeway.yaml:13: checker.judges[1].key_file: "short": the key has 3 bytes, at least 16 are needed
freeway.yaml:14: checker.judges[2].key_file: there is no file "nokey"
freeway.yaml:15: checker.judge_ca: "plain" holds no certificate
freeway.yaml:17: geo.database: there is no file "places.mmdb"
freeway.yaml:19: audit.path: there is no folder "nowhere"`
	if got != want {
		t.Errorf("CheckFiles =\n%s\nwant\n%s", got, want)
	}
	if err := config.CheckFiles(config.Default(), config.LoadOptions{}); err != nil {
		t.Errorf("CheckFiles of the defaults = %v", err)
	}
}

// TestCheckFilesOfAFlag: the flag is named, and its file is not looked for
// beside the configuration file.
func TestCheckFilesOfAFlag(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := filepath.Join(dir, "freeway.yaml")
	put(t, file, "geo: {database: a.mmdb}\n")
	put(t, filepath.Join(dir, "ca"), "x")
	opt := config.LoadOptions{Path: file, Lookup: env("FREEWAY_ADMIN_TOKEN_FILE", "token"),
		Flags: []config.Flag{{Name: "--checker.judge_ca", Path: "checker.judge_ca", Value: "ca"}}}
	cfg, err := config.Load(opt)
	if err != nil {
		t.Fatal(err)
	}
	for name, got := range map[string]string{"ca": cfg.Checker.JudgeCA, "token": cfg.Admin.TokenFile, filepath.Join(dir, "a.mmdb"): cfg.Geo.Database} {
		if got != name {
			t.Errorf("a file is %q, want %q", got, name)
		}
	}
	err = config.CheckFiles(cfg, opt)
	for _, want := range []string{`--checker.judge_ca: checker.judge_ca: there is no file "ca"`,
		`$FREEWAY_ADMIN_TOKEN_FILE: admin.token_file: there is no file "token"`} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("CheckFiles = %v, want %q", err, want)
		}
	}
}

// TestRelativeFiles: names in a file begin where it is.
func TestRelativeFiles(t *testing.T) {
	t.Parallel()
	cfg, err := config.Load(config.LoadOptions{Path: write(t, `
gateway: {users: [{name: bob, password_file: bob.txt}, {name: eve, password_file: /run/eve}]}
sources: {dir: sources.d, list: [{name: mine, file: ../list.txt}]}
store: {path: x.db}
`)})
	if err != nil {
		t.Fatal(err)
	}
	base := filepath.Dir(filepath.Dir(cfg.Sources.Dir))
	if _, err := os.Stat(base); err != nil || !filepath.IsAbs(cfg.Sources.Dir) {
		t.Errorf("sources.dir is %q", cfg.Sources.Dir)
	}
	got := []string{filepath.Dir(cfg.Gateway.Users[0].PasswordFile), cfg.Gateway.Users[1].PasswordFile, cfg.Sources.List[0].File, cfg.Store.Path}
	for i, want := range []string{filepath.Dir(cfg.Sources.Dir), "/run/eve", filepath.Join(base, "list.txt"), "x.db"} {
		if got[i] != want {
			t.Errorf("a file is %q, want %q", got[i], want)
		}
	}
}

// TestMisspeltVariables: a section's name makes a variable ours.
func TestMisspeltVariables(t *testing.T) {
	t.Parallel()
	names := []string{"PATH", "FREEWAY_GATEWAY_LISTN", "FREEWAY_GATEWAY_LISTEN", "FREEWAY_REQUIRE_PEERS", "FREEWAY_LIST_DATA", "FREEWAY_DEMO_FULL", "FREEWAY_GATEWAY",
		"FREEWAY_GATEWAY_PORT", "FREEWAY_GATEWAY_PORT_8080_TCP_ADDR", "FREEWAY_ADMIN_SERVICE_HOST", "FREEWAY_ADMIN_SERVICE_PORT_HTTP", "FREEWAY_LOG_LEVELS", "FREEWAY_GEO_EMPTY"}
	lookup := func(name string) (string, bool) {
		switch name {
		case "FREEWAY_GATEWAY_LISTEN":
			return "127.0.0.1:0", true
		case "FREEWAY_GEO_EMPTY":
			return "", true
		}
		for _, n := range names {
			if n == name {
				return "1", true
			}
		}
		return "", false
	}
	_, err := config.Load(config.LoadOptions{Lookup: lookup, Names: names})
	want := "$FREEWAY_GATEWAY_LISTN: unknown key; the nearest is FREEWAY_GATEWAY_LISTEN\n$FREEWAY_LOG_LEVELS: unknown key; the nearest is FREEWAY_LOG_LEVEL"
	if err == nil || err.Error() != want {
		t.Errorf("Load = %v, want %s", err, want)
	}
}

// TestClashWithADefault: the value that was given is named, not the default.
func TestClashWithADefault(t *testing.T) {
	t.Parallel()
	flag := func(path, value string) []config.Flag {
		return []config.Flag{{Name: "--" + path, Path: path, Value: value}}
	}
	for want, flags := range map[string][]config.Flag{
		`--gateway.listen: gateway.listen: "127.0.0.1:8081" is taken by admin.listen`: flag("gateway.listen", "127.0.0.1:8081"),
		`--admin.listen: admin.listen: "localhost:8080" is taken by gateway.listen`:   flag("admin.listen", "localhost:8080"),
	} {
		if _, err := config.Load(config.LoadOptions{Flags: flags}); err == nil || err.Error() != want {
			t.Errorf("Load = %v, want %s", err, want)
		}
	}
}
