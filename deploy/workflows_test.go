package deploy_test

import (
	"path/filepath"
	"regexp"
	"testing"

	"go.yaml.in/yaml/v4"
)

// workflow is what the tests look at in a workflow of GitHub.
type workflow struct {
	Permissions map[string]string
	Jobs        map[string]job
}

// job is one job of a workflow.
type job struct {
	Uses        string
	Permissions map[string]string
	Timeout     int `yaml:"timeout-minutes"`
	Steps       []struct {
		Uses, Run string
		With      map[string]any
	}
}

// TestWorkflows: workflows may read and no more, save for the one job that
// publishes; what they use of others is pinned by hash; every job ends.
func TestWorkflows(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("../.github/workflows/*.yml")
	if err != nil || len(files) < 2 {
		t.Fatalf("workflows: %v (%v)", files, err)
	}
	for _, file := range files {
		var w workflow
		if err := yaml.Unmarshal([]byte(read(t, file)), &w); err != nil || len(w.Jobs) == 0 {
			t.Fatalf("%s: %d jobs (%v)", file, len(w.Jobs), err)
		}
		if len(w.Permissions) != 1 || w.Permissions["contents"] != "read" {
			t.Errorf("%s has permissions %v, want contents: read", file, w.Permissions)
		}
		for name, j := range w.Jobs {
			checkJob(t, filepath.Base(file)+" "+name, name == "publish", j)
		}
	}
}

// checkJob looks at one job.
func checkJob(t *testing.T, name string, publishes bool, j job) {
	t.Helper()
	if j.Uses == "" && (j.Timeout < 1 || j.Timeout > 60) {
		t.Errorf("%s has %d minutes", name, j.Timeout)
	}
	if len(j.Permissions) > 0 && (!publishes || len(j.Permissions) > 1) {
		t.Errorf("%s has permissions %v", name, j.Permissions)
	}
	for _, s := range j.Steps {
		if s.Uses != "" && !regexp.MustCompile(`^actions/[a-z-]+@[0-9a-f]{40}$`).MatchString(s.Uses) {
			t.Errorf("%s uses %s, which is not pinned by a hash", name, s.Uses)
		}
		if regexp.MustCompile(`^actions/checkout@`).MatchString(s.Uses) && s.With["persist-credentials"] != false {
			t.Errorf("%s leaves the token of the checkout behind", name)
		}
		if regexp.MustCompile(`\$\{\{`).MatchString(s.Run) {
			t.Errorf("%s puts an expression into a script: %s", name, s.Run)
		}
	}
}
