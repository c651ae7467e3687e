package main

import (
	"os"
	"path/filepath"
	"runtime/debug"
	"testing"
)

// TestLimitMemory is not parallel: the limit is the process's.
func TestLimitMemory(t *testing.T) {
	before := debug.SetMemoryLimit(-1)
	t.Cleanup(func() { debug.SetMemoryLimit(before) })
	t.Setenv("GOMEMLIMIT", "")
	file := filepath.Join(t.TempDir(), "memory.max")
	for _, tt := range []struct {
		text string
		want int64
	}{{"max\n", 0}, {"", 0}, {"nonsense", 0}, {"10737418240\n", 9663676416}} {
		if err := os.WriteFile(file, []byte(tt.text), 0o600); err != nil {
			t.Fatal(err)
		}
		if got := limitMemory(file); got != tt.want {
			t.Errorf("%q: %d, want %d", tt.text, got, tt.want)
		}
	}
	if got := limitMemory(file + ".missing"); got != 0 {
		t.Errorf("without a cgroup: %d, want 0", got)
	}
	if got := debug.SetMemoryLimit(-1); got != 9663676416 {
		t.Errorf("the runtime's limit is %d", got)
	}
}
