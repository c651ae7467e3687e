//go:build manifests

package deploy_test

import (
	"encoding/json"
	"regexp"
	"strings"
	"testing"
)

// page is the documentation of all this.
const page = "../docs/deployment.md"

// indented returns the block of code that begins with a line.
func indented(t *testing.T, text, first string) string {
	t.Helper()
	_, rest, ok := strings.Cut(text, "\n    "+first+"\n")
	if !ok {
		t.Fatalf("%s has no line %q", page, first)
	}
	lines := []string{first}
	for _, l := range strings.Split(rest, "\n") {
		if !strings.HasPrefix(l, "    ") {
			break
		}
		lines = append(lines, strings.TrimPrefix(l, "    "))
	}
	return strings.Join(lines, "\n") + "\n"
}

// TestPageValues: the values that the page shows are valid, and Freeway takes
// the configuration that comes of them.
func TestPageValues(t *testing.T) {
	t.Parallel()
	out, err := template(t, "freeway", indented(t, read(t, page), "gateway:"))
	if err != nil {
		t.Fatal(err)
	}
	if err := validate(t, out); err != nil {
		t.Errorf("kubectl-validate: %v", err)
	}
	all := objects(t, out)
	c := loadConfig(t, all["ConfigMap/freeway"])
	if len(c.Gateway.Users) != 1 || c.Gateway.Users[0].PasswordFile != "/etc/freeway-auth/user-crawler" || c.Gateway.TLS.Listen == "" {
		t.Errorf("gateway = %+v", c.Gateway)
	}
	checkPod(t, all["StatefulSet/freeway"])
	if all["Certificate/freeway"] == nil || all["ServiceMonitor/freeway"] == nil || all["PrometheusRule/freeway"] == nil {
		t.Error("certificate, monitor or rules are missing")
	}
}

// TestPageRestore: the pod that restores a backup is valid, and uses the claim
// and the image that the base has.
func TestPageRestore(t *testing.T) {
	t.Parallel()
	m := regexp.MustCompile(`(?s)--overrides='(.*?)' <`).FindStringSubmatch(read(t, page))
	if m == nil {
		t.Fatal("there are no overrides")
	}
	var spec object
	if err := json.Unmarshal([]byte(m[1]), &spec); err != nil {
		t.Fatal(err)
	}
	spec["apiVersion"], spec["kind"], spec["metadata"] = "v1", "Pod", map[string]any{"name": "freeway-restore"}
	text, err := json.Marshal(spec)
	if err != nil {
		t.Fatal(err)
	}
	if err := validate(t, string(text)); err != nil {
		t.Errorf("kubectl-validate: %v", err)
	}
	set := objects(t, kustomize(t, "kustomize/base"))["StatefulSet/freeway"]
	claim := set.at("spec", "volumeClaimTemplates").([]any)[0].(map[string]any)["metadata"].(map[string]any)["name"].(string)
	image := set.at("spec", "template", "spec", "containers").([]any)[0].(map[string]any)["image"].(string)
	for _, want := range []string{`"claimName":"` + claim + `-freeway-0"`, `"image":"` + image + `"`} {
		if !strings.Contains(string(text), want) {
			t.Errorf("%s has no %s", text, want)
		}
	}
}
