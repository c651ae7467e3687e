package deploy_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// need finds a program of others. Without it the test is skipped, or fails
// where FREEWAY_REQUIRE_PEERS says that everything is installed.
func need(t *testing.T, name string) {
	t.Helper()
	if _, err := exec.LookPath(name); err != nil {
		if os.Getenv("FREEWAY_REQUIRE_PEERS") != "" {
			t.Fatalf("%s is not installed", name)
		}
		t.Skipf("skipped: %s is not installed", name)
	}
}

// read returns a file's text.
func read(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// output runs a program of others that must succeed.
func output(t *testing.T, name string, args ...string) string {
	t.Helper()
	need(t, name)
	out, err := exec.CommandContext(t.Context(), name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}

// units copies the units to a folder of their own, where a program that is
// there stands for the one that is installed.
func units(t *testing.T) (dir string, names []string) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir = t.TempDir()
	files, err := filepath.Glob("systemd/freeway.s[eo]*")
	if err != nil || len(files) == 0 {
		t.Fatalf("units: %v (%v)", files, err)
	}
	for _, f := range files {
		if filepath.Ext(f) == ".sysusers" {
			continue
		}
		name := filepath.Join(dir, filepath.Base(f))
		text := strings.ReplaceAll(read(t, f), "/usr/bin/freeway", self)
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		names = append(names, name)
	}
	return dir, names
}

// TestUnits: systemd finds nothing wrong with the units.
func TestUnits(t *testing.T) {
	t.Parallel()
	_, names := units(t)
	if out := output(t, "systemd-analyze", append([]string{"verify", "--man=no"}, names...)...); strings.Contains(out, "freeway.s") {
		t.Errorf("systemd-analyze verify: %s", out)
	}
}

// maxExposure is the most that systemd may count against the service, of 10.
// What is left is that it uses the network.
const maxExposure = 1.2

// TestUnitIsHardened: the figure of systemd-analyze security stays low.
func TestUnitIsHardened(t *testing.T) {
	t.Parallel()
	_, names := units(t)
	for _, name := range names {
		if filepath.Ext(name) != ".service" {
			continue
		}
		out := output(t, "systemd-analyze", "security", "--offline=true", "--no-pager", name)
		m := regexp.MustCompile(`exposure level for \S+: ([0-9.]+)`).FindStringSubmatch(out)
		if m == nil {
			t.Fatalf("no figure in\n%s", out)
		}
		if got, err := strconv.ParseFloat(m[1], 64); err != nil || got > maxExposure {
			t.Errorf("exposure of %s = %v, want at most %v\n%s", filepath.Base(name), m[1], maxExposure, out)
		}
	}
}

// TestStopsWithinItsTime: systemd and compose wait longer than Freeway drains.
func TestStopsWithinItsTime(t *testing.T) {
	t.Parallel()
	for file, key := range map[string]string{"systemd/freeway.service": `TimeoutStopSec=(\d+)s`, "docker/compose.yaml": `stop_grace_period: (\d+)s`} {
		m := regexp.MustCompile(key).FindStringSubmatch(read(t, file))
		if m == nil {
			t.Errorf("%s does not say %s", file, key)
		} else if n, _ := strconv.Atoi(m[1]); n < 50 {
			t.Errorf("%s waits %d s, want 50 or more: 20 s of gateway.drain, and time to save", file, n)
		}
	}
}
