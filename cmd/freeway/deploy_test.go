package main

import (
	"encoding/json"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
)

// Every query of the Grafana dashboard and of the alert rules names metrics
// that the server has, and their names follow the conventions.
func TestMetricsOfDeploy(t *testing.T) {
	t.Parallel()
	r := serveFile(t, "gateway: {listen: 127.0.0.1:0}\nsources: {builtin: false}\nchecker: {judges: [\"http://127.0.0.1:9/\"]}\n")
	_, text := r.get(t, "/metrics")
	problems, err := promlint.New(strings.NewReader(text)).Lint()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		if strings.HasPrefix(p.Metric, "freeway_") {
			t.Errorf("%s: %s", p.Metric, p.Text)
		}
	}
	have := map[string]bool{"up": true}
	all := make(chan *prometheus.Desc, 1000) // also those that have no value yet
	r.registry.Describe(all)
	close(all)
	for d := range all {
		if m := regexp.MustCompile(`fqName: "([^"]+)"`).FindStringSubmatch(d.String()); m != nil {
			have[m[1]] = true
		}
	}
	var dashboard struct {
		Panels []struct{ Targets []struct{ Expr string } }
	}
	doc, err := os.ReadFile("../../deploy/grafana/freeway.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(doc, &dashboard); err != nil || len(dashboard.Panels) == 0 {
		t.Fatalf("%d panels (%v)", len(dashboard.Panels), err)
	}
	rules, err := os.ReadFile("../../deploy/prometheus/freeway.rules.yml")
	if err != nil {
		t.Fatal(err)
	}
	queries := regexp.MustCompile(`(?m)^ +expr: .*(?:\n {10,}.*)*`).FindAllString(string(rules), -1)
	for _, p := range dashboard.Panels {
		for _, q := range p.Targets {
			queries = append(queries, q.Expr)
		}
	}
	for _, q := range queries {
		for _, name := range regexp.MustCompile(`\b(freeway|go|process)_[a-z_]+`).FindAllString(q, -1) {
			if base := strings.TrimSuffix(name, "_bucket"); !have[base] {
				t.Errorf("there is no metric %s, which %q asks for", base, q)
			}
		}
	}
}
