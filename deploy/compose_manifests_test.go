//go:build manifests

package deploy_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// project is what compose makes of its file.
type project struct {
	Services map[string]struct {
		Image    string
		ReadOnly bool     `json:"read_only"`
		CapDrop  []string `json:"cap_drop"`
		Options  []string `json:"security_opt"`
		Ports    []struct {
			HostIP string `json:"host_ip"`
		}
		Volumes []struct{ Type, Source string }
		Secrets []struct{ Source string }
	}
	Secrets map[string]any
}

// TestCompose: compose takes the file, nothing is published beyond loopback, no
// image is unnamed, and every file that is mounted exists.
func TestCompose(t *testing.T) {
	t.Parallel()
	out, errs, err := runIn(t, "docker", tool(t, "COMPOSE"), "-format", "json", "compose.yaml")
	if err != nil || errs != "" {
		t.Fatalf("compose: %v %s", err, errs)
	}
	var p project
	if err := json.Unmarshal([]byte(out), &p); err != nil || len(p.Services) != 3 {
		t.Fatalf("%d services (%v)", len(p.Services), err)
	}
	if !p.Services["freeway"].ReadOnly {
		t.Error("freeway may write to its root")
	}
	for name, s := range p.Services {
		if strings.Join(s.CapDrop, "") != "ALL" || len(s.Options) != 1 {
			t.Errorf("%s keeps capabilities: %v, %v", name, s.CapDrop, s.Options)
		}
		if s.Image != "" && !regexp.MustCompile(`:v?\d+\.\d+\.\d+$`).MatchString(s.Image) {
			t.Errorf("the image of %s has no version: %s", name, s.Image)
		}
		for _, port := range s.Ports {
			if port.HostIP != "127.0.0.1" {
				t.Errorf("%s publishes a port on %q", name, port.HostIP)
			}
		}
		for _, v := range s.Volumes {
			if _, err := os.Stat(v.Source); v.Type == "bind" && err != nil {
				t.Errorf("%s mounts what is not there: %v", name, err)
			}
		}
		for _, secret := range s.Secrets {
			if p.Secrets[secret.Source] == nil {
				t.Errorf("%s has a secret %s that is not defined", name, secret.Source)
			}
		}
	}
}

// TestComposeRefuses: the check can fail.
func TestComposeRefuses(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "compose.yaml")
	if err := os.WriteFile(file, []byte(strings.Replace(read(t, "docker/compose.yaml"), "read_only:", "readonly:", 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, errs, err := run(t, tool(t, "COMPOSE"), file); err == nil && errs == "" {
		t.Errorf("a misspelt key is taken: %s", out)
	}
}
