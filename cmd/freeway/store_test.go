package main

import (
	"bytes"
	"compress/gzip"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"freeway/store"
)

// TestThreat73Upgrade: a store of the first format is read by commands that only
// read, brought to the current format by the first that writes, with a copy from
// before beside it, and that copy can be restored.
func TestThreat73Upgrade(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "freeway.db")
	before := unpack(t, "../../store/testdata/v1.db.gz")
	if err := os.WriteFile(path, before, 0o600); err != nil {
		t.Fatal(err)
	}
	list := filepath.Join(dir, "list.txt")
	if err := os.WriteFile(list, []byte("8.8.8.8:3128\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	env := map[string]string{"FREEWAY_STORE_PATH": path}
	must := func(want string, args ...string) {
		t.Helper()
		code, out, errs := command(t, env, args...)
		if code != 0 || !strings.Contains(out+errs, want) {
			t.Fatalf("freeway %v = %d %s%s, want %q", args, code, out, errs, want)
		}
	}
	must("holds 40 endpoints (format 1,", "store", "check")
	must("40 endpoints", "store", "backup", filepath.Join(dir, "v1.copy"))
	if after, err := os.ReadFile(path); err != nil || !bytes.Equal(before, after) {
		t.Errorf("reading changed the file: %v", err)
	}
	must("1 new", "scrape", "--save", list)
	must("holds 41 endpoints (format 2,", "store", "check")
	for _, old := range []string{path + ".v1.bak", filepath.Join(dir, "v1.copy")} {
		info, err := os.Stat(old)
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Fatalf("%s: %v, %v", old, info, err)
		}
		must("kept as "+path+".replaced-", "store", "restore", "--force", old)
		must("holds 40 endpoints (format 1,", "store", "check")
	}
}

// TestThreat73Newer: a store of a newer format is refused by every command, with
// what to do, and not touched.
func TestThreat73Newer(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "freeway.db")
	content := unpack(t, "testdata/newer.db.gz")
	for _, name := range []string{path, filepath.Join(dir, "newer.db")} {
		if err := os.WriteFile(name, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	env := map[string]string{"FREEWAY_STORE_PATH": path, "FREEWAY_ADMIN_LISTEN": "127.0.0.1:0", "FREEWAY_GATEWAY_LISTEN": "127.0.0.1:0", "FREEWAY_SOURCES_BUILTIN": "false",
		"FREEWAY_CHECKER_JUDGES": "http://127.0.0.1:1/"}
	for _, line := range []string{"serve", "store check", "store compact", "store backup -", "store restore --force " + filepath.Join(dir, "newer.db"), "scrape --save socks5://8.8.8.8:1"} {
		code, out, errs := command(t, env, strings.Fields(line)...)
		if code != 1 || !strings.Contains(errs, store.ErrNewer.Error()) || !strings.Contains(errs, "run the version that wrote it, or restore a copy with \"freeway store restore\"") {
			t.Errorf("freeway %s = %d %q %q, want 1 and what to do", line, code, out, errs)
		}
	}
	if after, err := os.ReadFile(path); err != nil || !bytes.Equal(content, after) {
		t.Errorf("the file was changed: %v", err)
	}
	if left, _ := filepath.Glob(path + "?*"); len(left) > 0 {
		t.Errorf("%v is left beside it", left)
	}
}

// unpack reads a compressed file.
func unpack(t *testing.T, name string) []byte {
	t.Helper()
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	return text
}
