//go:build manifests

package deploy_test

import (
	"bytes"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"go.yaml.in/yaml/v4"
)

// kubeVersion is the newest one whose schemas kubectl-validate v0.0.4 holds;
// for another it would ask the network.
const kubeVersion = "1.30"

// tool returns the program that make manifests has built.
func tool(t *testing.T, variable string) string {
	t.Helper()
	path := os.Getenv(variable)
	if path == "" {
		t.Fatalf("%s is not set: run make manifests", variable)
	}
	return path
}

// run runs a program and returns what it printed on stdout and stderr.
func run(t *testing.T, name string, args ...string) (out, errs string, err error) {
	t.Helper()
	return runIn(t, "", name, args...)
}

// runIn runs a program in a folder.
func runIn(t *testing.T, dir, name string, args ...string) (out, errs string, err error) {
	t.Helper()
	var o, e bytes.Buffer
	cmd := exec.CommandContext(t.Context(), name, args...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, &o, &e
	cmd.Env = append(os.Environ(), "KUBECONFIG=/dev/null", "HELM_CACHE_HOME="+t.TempDir())
	err = cmd.Run()
	return o.String(), e.String(), err
}

// template renders the chart with values.
func template(t *testing.T, release, values string) (string, error) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "values.yaml")
	if err := os.WriteFile(file, []byte(values), 0o600); err != nil {
		t.Fatal(err)
	}
	out, errs, err := run(t, tool(t, "HELM"), "template", release, "helm/freeway", "-n", "crawling", "--kube-version", kubeVersion+".0", "-f", file)
	if err != nil {
		return "", errors.New(errs)
	}
	return out, nil
}

// kustomize builds a folder.
func kustomize(t *testing.T, dir string) string {
	t.Helper()
	out, errs, err := run(t, tool(t, "KUSTOMIZE"), "build", dir)
	if err != nil {
		t.Fatalf("kustomize build %s: %v\n%s", dir, err, errs)
	}
	return out
}

// validate checks manifests against the schemas of Kubernetes and the operators.
func validate(t *testing.T, manifests string) error {
	t.Helper()
	file := filepath.Join(t.TempDir(), "manifests.yaml")
	if err := os.WriteFile(file, []byte(manifests), 0o600); err != nil {
		t.Fatal(err)
	}
	out, errs, err := run(t, tool(t, "KUBECTL_VALIDATE"), "--version", kubeVersion, "--local-crds", tool(t, "CRDS"), file)
	if err != nil {
		return errors.New(out + errs)
	}
	return nil
}

// object is one manifest.
type object map[string]any

// at follows a path of keys and returns nil where it ends early.
func (o object) at(path ...string) any {
	var v any = map[string]any(o)
	for _, key := range path {
		m, _ := v.(map[string]any)
		v = m[key]
	}
	return v
}

// objects reads manifests by kind and name.
func objects(t *testing.T, manifests string) map[string]object {
	t.Helper()
	all := map[string]object{}
	for _, text := range strings.Split("\n"+manifests, "\n---\n") {
		var o map[string]any
		err := yaml.Unmarshal([]byte(text), &o)
		if err != nil && !errors.Is(err, io.EOF) && strings.TrimSpace(text) != "" {
			t.Fatalf("%v in\n%s", err, text)
		}
		if o == nil {
			continue
		}
		key := o["kind"].(string) + "/" + object(o).at("metadata", "name").(string)
		if all[key] != nil {
			t.Errorf("%s is there twice", key)
		}
		all[key] = o
	}
	return all
}
