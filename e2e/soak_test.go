//go:build linux

package e2e_test

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestSoak runs the soak for seconds, so that the program cannot rot: "make soak" is the real one.
func TestSoak(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	program := filepath.Join(dir, "soak")
	if out, err := exec.Command("go", "build", "-o", program, "./soak").CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	s := start(t, program, "-freeway", binary, "-for", "10s", "-connections", "40", "-rate", "40", "-upstreams", "24", "-out", filepath.Join(dir, "out"))
	if code := s.exitCode(t); code != 0 {
		t.Errorf("exit code %d:\n%s", code, s.out.String())
	}
	verdicts := 0
	for line := range strings.Lines(s.out.String()) {
		if strings.HasPrefix(line, "ok     ") {
			verdicts++
		}
	}
	if verdicts != 9 {
		t.Errorf("%d verdicts are ok, want 9:\n%s", verdicts, s.out.String())
	}
}
