package config_test

import (
	"os"
	"path/filepath"
	"testing"

	"freeway/config"
)

func TestSettings(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "freeway.yaml")
	if err := os.WriteFile(file, []byte("gateway:\n  rotation: random\n  users: [{name: bob, password: hunter2}]\nadmin: {token: s3cret}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	opt := config.LoadOptions{Path: file, Lookup: func(k string) (string, bool) { return "debug", k == "FREEWAY_LOG_LEVEL" },
		Flags: []config.Flag{{Name: "--store.path", Path: "store.path", Value: "x.db"}}}
	cfg, err := config.Load(opt)
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]config.Setting{}
	for _, s := range config.Settings(cfg, opt) {
		got[s.Path] = s
	}
	if len(got) != len(config.Paths()) {
		t.Errorf("%d settings, want %d", len(got), len(config.Paths()))
	}
	for path, want := range map[string][2]string{
		"gateway.rotation": {"random", file + ":2"},
		"gateway.listen":   {"127.0.0.1:8080", "default"},
		"log.level":        {"debug", "$FREEWAY_LOG_LEVEL"},
		"store.path":       {"x.db", "--store.path"},
		"admin.token":      {"***", file + ":4"},
	} {
		if s := got[path]; s.Value != want[0] || s.From != want[1] || s.About == "" {
			t.Errorf("%s = %+v, want %q from %q", path, s, want[0], want[1])
		}
	}
	if s := got["gateway.users"]; s.From != file+":3" {
		t.Errorf("gateway.users = %+v, want from line 3", s)
	}
}
