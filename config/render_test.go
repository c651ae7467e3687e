package config_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"freeway/config"
)

func TestInitTextLoadsToTheDefaults(t *testing.T) {
	t.Parallel()
	text := config.InitText()
	got, err := load(t, text, config.LoadOptions{})
	if err != nil {
		t.Fatalf("Load: %v\n%s", err, text)
	}
	if diff := cmp.Diff(config.Default(), got, same); diff != "" {
		t.Errorf("the file of config init differs from the defaults:\n%s", diff)
	}
	for _, p := range config.Paths() {
		if about := config.Describe(p); !strings.Contains(text, about) {
			t.Errorf("%s is not explained in the file", p)
		}
	}
}

func TestEveryKeyIsDescribed(t *testing.T) {
	t.Parallel()
	paths := config.Paths()
	for _, p := range paths {
		if config.Describe(p) == "" {
			t.Errorf("%s has no description", p)
		}
		section, _, _ := strings.Cut(p, ".")
		if config.Describe(section) == "" {
			t.Errorf("section %s has no description", section)
		}
	}
	known := "." + strings.Join(paths, ".") + "."
	for _, p := range config.Described() {
		if !strings.Contains(known, "."+p+".") {
			t.Errorf("%s is described but does not exist", p)
		}
	}
}

const secretive = `
admin: {token: hunter2}
gateway: {users: [{name: bob, password: hunter2}]}
sources:
  list:
    - {name: a, url: "https://bob:hunter2@example.com/list?api_key=hunter2&page=1", headers: {X-Key: hunter2}}
`

func TestShowMasksSecrets(t *testing.T) {
	t.Parallel()
	cfg, err := load(t, secretive, config.LoadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	dump, err := json.Marshal(config.Dump(cfg))
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"Show": config.Show(cfg), "Dump": string(dump), "Value": config.Value(cfg, "sources.list") + config.Value(cfg, "admin.token")} {
		if strings.Contains(text, "hunter2") {
			t.Errorf("%s holds a secret:\n%s", name, text)
		}
		if !strings.Contains(text, "***") || !strings.Contains(text, "page=1") {
			t.Errorf("%s hides too much:\n%s", name, text)
		}
	}
}

func TestShowIsStable(t *testing.T) {
	t.Parallel()
	cfg, err := load(t, "scraper: {timeout: 90s, max_bytes: 3MiB}\nnetwork: {allow_upstreams: [127.0.0.0/8]}\nsources: {builtin: false}\n", config.LoadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	shown := config.Show(cfg)
	for _, want := range []string{"timeout: 1m30s", "max_bytes: 3MiB", "allow_upstreams: [127.0.0.0/8]", "builtin: false"} {
		if !strings.Contains(shown, want) {
			t.Errorf("Show lacks %q:\n%s", want, shown)
		}
	}
	again, err := load(t, shown, config.LoadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(cfg, again, same); diff != "" {
		t.Errorf("what Show prints loads to something else:\n%s", diff)
	}
}

func TestValue(t *testing.T) {
	t.Parallel()
	for path, want := range map[string]string{"scraper.timeout": "20s", "scraper.max_bytes": "32MiB", "sources.builtin": "true", "sources.list": "[]",
		"admin.token": "", "no.such": "", "scraper": ""} {
		if got := config.Value(config.Default(), path); got != want && path != "scraper" {
			t.Errorf("Value(%q) = %q, want %q", path, got, want)
		}
	}
}
