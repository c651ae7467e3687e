package deploy_test

import (
	"regexp"
	"strings"
	"testing"

	"go.yaml.in/yaml/v4"
)

// rules is the file of alert rules.
type rules struct {
	Groups []struct {
		Rules []struct {
			Alert       string
			Expr        string
			Labels      map[string]string
			Annotations map[string]string
		}
	}
}

// alerts returns the rules.
func alerts(t *testing.T) rules {
	t.Helper()
	var r rules
	if err := yaml.Unmarshal([]byte(read(t, "prometheus/freeway.rules.yml")), &r); err != nil || len(r.Groups) == 0 {
		t.Fatalf("%d groups (%v)", len(r.Groups), err)
	}
	return r
}

// TestRules: Prometheus takes the rules, and they fire when they should.
func TestRules(t *testing.T) {
	t.Parallel()
	output(t, "promtool", "check", "rules", "prometheus/freeway.rules.yml")
	output(t, "promtool", "test", "rules", "prometheus/freeway.rules.test.yml")
}

// TestRulesAreTested: each alert fires in a test, and says what it is about and
// how bad it is.
func TestRulesAreTested(t *testing.T) {
	t.Parallel()
	tests := read(t, "prometheus/freeway.rules.test.yml")
	have := map[string]bool{}
	for _, g := range alerts(t).Groups {
		for _, r := range g.Rules {
			have[r.Alert] = true
			if !regexp.MustCompile(`alertname: ` + r.Alert + `\s+exp_alerts: \[\{exp_labels`).MatchString(tests) {
				t.Errorf("no test in which %s fires", r.Alert)
			}
			if s := r.Labels["severity"]; s != "info" && s != "warning" && s != "critical" {
				t.Errorf("severity of %s = %q", r.Alert, s)
			}
			if r.Annotations["summary"] == "" {
				t.Errorf("%s has no summary", r.Alert)
			}
		}
	}
	for _, name := range []string{"FreewayHealthyLow", "FreewayScoreCollapse", "FreewaySourceDead", "FreewayJudgesDead",
		"FreewayJudgeDead", "FreewayCertificateExpires", "FreewayLeakSuspected"} {
		if !have[name] {
			t.Errorf("there is no rule %s", name)
		}
	}
}

// TestCopies: chart and kustomize hold the same rules and dashboard.
func TestCopies(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"prometheus/freeway.rules.yml", "grafana/freeway.json"} {
		copied := "helm/freeway/files/" + name[strings.Index(name, "/")+1:]
		if read(t, copied) != read(t, name) {
			t.Errorf("%s is not %s: run deploy/copies.sh", copied, name)
		}
	}
	var rule struct{ Spec rules }
	if err := yaml.Unmarshal([]byte(read(t, "kustomize/components/monitoring/prometheusrule.yaml")), &rule); err != nil {
		t.Fatal(err)
	}
	want, got := alerts(t).Groups[0].Rules, rule.Spec.Groups[0].Rules
	if len(got) != len(want) {
		t.Fatalf("kustomize has %d rules, want %d: run deploy/copies.sh", len(got), len(want))
	}
	for i, r := range want {
		if got[i].Alert != r.Alert || got[i].Expr != r.Expr {
			t.Errorf("rule %s of kustomize differs: run deploy/copies.sh", r.Alert)
		}
	}
}
