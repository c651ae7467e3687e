//go:build manifests

package deploy_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestKustomize: the base and the example of an overlay are valid, and Freeway
// takes their configuration.
func TestKustomize(t *testing.T) {
	t.Parallel()
	for _, dir := range []string{"kustomize/base", "kustomize/overlays/example"} {
		t.Run(dir, func(t *testing.T) {
			t.Parallel()
			out := kustomize(t, dir)
			if err := validate(t, out); err != nil {
				t.Errorf("kubectl-validate: %v", err)
			}
			all := objects(t, out)
			loadConfig(t, all["ConfigMap/freeway"])
			checkPod(t, all["StatefulSet/freeway"])
		})
	}
}

// TestKustomizeIsTheChart: both ways give the same, but for labels and names of
// the namespace.
func TestKustomizeIsTheChart(t *testing.T) {
	t.Parallel()
	chart, err := template(t, "freeway", "{}")
	if err != nil {
		t.Fatal(err)
	}
	compare(t, objects(t, chart), objects(t, kustomize(t, "kustomize/base")))
}

// TestComponentsAreTheChart: so do the components and what the chart has for them.
func TestComponentsAreTheChart(t *testing.T) {
	t.Parallel()
	chart, err := template(t, "freeway", `
gateway: {tls: {enabled: true}}
certificate: {enabled: true, issuerRef: {name: internal-ca}}
serviceMonitor: {enabled: true}
prometheusRule: {enabled: true}
`)
	if err != nil {
		t.Fatal(err)
	}
	have, want := objects(t, kustomize(t, "kustomize/overlays/example")), objects(t, chart)
	set := func(all map[string]object) object {
		return object(all["StatefulSet/freeway"].at("spec", "template", "spec").(map[string]any))
	}
	for _, path := range [][]string{{"volumes"}, {"securityContext"}} {
		if diff := cmp.Diff(set(want).at(path...), set(have).at(path...)); diff != "" {
			t.Errorf("%v of the pod (-chart +kustomize):\n%s", path, diff)
		}
	}
	for _, c := range []struct{ key, at string }{
		{"Service/freeway", "ports"}, {"NetworkPolicy/freeway", "ingress"}, {"ServiceMonitor/freeway", "endpoints"},
		{"ServiceMonitor/freeway", "jobLabel"}, {"PrometheusRule/freeway", "groups"}, {"Certificate/freeway", "issuerRef"}, {"Certificate/freeway", "secretName"},
	} {
		got := have[c.key].at("spec", c.at)
		if diff := cmp.Diff(want[c.key].at("spec", c.at), got); diff != "" || got == nil {
			t.Errorf("%s of %s (-chart +kustomize):\n%s", c.at, c.key, diff)
		}
	}
}

// compare reports where two sets of objects differ.
func compare(t *testing.T, chart, base map[string]object) {
	t.Helper()
	delete(chart, "Secret/freeway-auth") // with kustomize it is made by hand
	delete(chart, "Pod/freeway-test")
	for key := range base {
		if chart[key] == nil {
			t.Errorf("%s is not in the chart", key)
		}
	}
	for key, want := range chart {
		got, ok := base[key]
		if !ok {
			t.Errorf("%s is not in the base", key)
			continue
		}
		if strings.HasPrefix(key, "ConfigMap/") {
			a, b := loadConfig(t, want), loadConfig(t, got)
			a.Admin.Hosts, b.Admin.Hosts = nil, nil
			if diff := cmp.Diff(a.Admin.TokenFile+a.Admin.Listen+a.Store.Path, b.Admin.TokenFile+b.Admin.Listen+b.Store.Path); diff != "" {
				t.Errorf("configuration (-chart +base):\n%s", diff)
			}
			if a.Gateway.Drain != b.Gateway.Drain || a.Gateway.DrainDelay != b.Gateway.DrainDelay || a.Gateway.Users[0].PasswordFile != b.Gateway.Users[0].PasswordFile {
				t.Errorf("gateway of the chart %+v, of the base %+v", a.Gateway, b.Gateway)
			}
			continue
		}
		if note, ok := want.at("spec", "template", "metadata", "annotations").(map[string]any); ok {
			delete(note, "freeway/restart-on") // a ConfigMap of kustomize is edited by hand
		}
		if diff := cmp.Diff(want.at("spec"), got.at("spec")); diff != "" {
			t.Errorf("%s (-chart +base):\n%s", key, diff)
		}
	}
}
