package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	"go.yaml.in/yaml/v4"
)

// TestMetricsFollowConventions: names and types are as Prometheus wants them,
// by its library and by its own program.
func TestMetricsFollowConventions(t *testing.T) {
	t.Parallel()
	r := serveFile(t, deployConfig)
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
	if out, err := promtool(t, text, "check", "metrics"); err != nil || out != "" {
		t.Errorf("promtool check metrics: %v\n%s", err, out)
	}
	if out, err := promtool(t, "# TYPE badName counter\nbadName 1\n", "check", "metrics"); err == nil {
		t.Errorf("promtool takes a bad name: %s", out)
	}
}

// deployConfig is a server that asks nobody.
const deployConfig = "gateway: {listen: 127.0.0.1:0}\nsources: {builtin: false}\nchecker: {judges: [\"http://127.0.0.1:9/\"]}\n"

// promtool runs Prometheus' program on a text. Without it the test is skipped,
// or fails where FREEWAY_REQUIRE_PEERS says that everything is installed.
func promtool(t *testing.T, stdin string, args ...string) (string, error) {
	t.Helper()
	if _, err := exec.LookPath("promtool"); err != nil {
		if os.Getenv("FREEWAY_REQUIRE_PEERS") != "" {
			t.Fatal("promtool is not installed")
		}
		t.Skip("skipped: promtool is not installed")
	}
	cmd := exec.CommandContext(t.Context(), "promtool", args...)
	cmd.Stdin = strings.NewReader(stdin)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// query is one expression of deploy, and the labels that its text for people names.
type query struct {
	where, expr string
	shown       []string
}

// panelQueries returns what the Grafana dashboard asks, with every panel in a row.
func panelQueries(t *testing.T) []query {
	t.Helper()
	type panel struct {
		Title, Type string
		Targets     []struct{ Expr, LegendFormat string }
		Panels      []json.RawMessage
	}
	text, err := os.ReadFile("../../deploy/grafana/freeway.json")
	if err != nil {
		t.Fatal(err)
	}
	var dashboard struct{ Panels []json.RawMessage }
	if err := json.Unmarshal(text, &dashboard); err != nil {
		t.Fatal(err)
	}
	var all []query
	for todo := dashboard.Panels; len(todo) > 0; todo = todo[1:] {
		var p panel
		if err := json.Unmarshal(todo[0], &p); err != nil {
			t.Fatal(err)
		}
		todo = append(todo, p.Panels...)
		if p.Title == "" || len(p.Targets) == 0 && p.Type != "row" && p.Type != "text" {
			t.Errorf("the panel %q asks nothing", p.Title)
		}
		for _, target := range p.Targets {
			all = append(all, query{"panel " + p.Title, target.Expr, placeholders(`{{\s*(\w+)\s*}}`, target.LegendFormat)})
		}
	}
	return all
}

// alertQueries returns what the alert rules ask.
func alertQueries(t *testing.T) []query {
	t.Helper()
	text, err := os.ReadFile("../../deploy/prometheus/freeway.rules.yml")
	if err != nil {
		t.Fatal(err)
	}
	var rules struct {
		Groups []struct {
			Rules []struct {
				Alert, Expr string
				Annotations map[string]string
			}
		}
	}
	if err := yaml.Unmarshal(text, &rules); err != nil {
		t.Fatal(err)
	}
	var all []query
	for _, g := range rules.Groups {
		for _, r := range g.Rules {
			all = append(all, query{"alert " + r.Alert, r.Expr, placeholders(`\$labels\.(\w+)`, fmt.Sprint(r.Annotations))})
		}
	}
	return all
}

// placeholders returns the names that a template asks for.
func placeholders(pattern, text string) []string {
	var names []string
	for _, m := range regexp.MustCompile(pattern).FindAllStringSubmatch(text, -1) {
		names = append(names, m[1])
	}
	return names
}

// described returns the labels of all metrics, also of those without a value yet.
func described(t *testing.T, r *running) map[string]map[string]bool {
	t.Helper()
	have := map[string]map[string]bool{"up": {}}
	for _, d := range descriptions(t, r) {
		have[d.name] = map[string]bool{}
		for _, l := range d.labels {
			have[d.name][l] = true
		}
	}
	return have
}

// description is what a registry tells of a metric, once for each set of fixed labels.
type description struct {
	name, help    string
	labels, fixed []string
}

var descText = regexp.MustCompile(`fqName: "([^"]+)", help: "((?:[^"\\]|\\.)*)".*constLabels: {(.*)}, variableLabels: {(.*)}}$`)

// descriptions asks the registry of a server about all metrics.
func descriptions(t *testing.T, r *running) (all []description) {
	t.Helper()
	descs := make(chan *prometheus.Desc, 1000)
	r.registry.Describe(descs)
	close(descs)
	for d := range descs {
		m := descText.FindStringSubmatch(d.String())
		if m == nil {
			t.Fatalf("cannot read %s", d)
		}
		x := description{name: m[1], help: strings.ReplaceAll(m[2], `\"`, `"`), labels: regexp.MustCompile(`\w+`).FindAllString(m[4], -1)}
		for _, l := range regexp.MustCompile(`(\w+)="[^"]*"`).FindAllStringSubmatch(m[3], -1) {
			x.fixed = append(x.fixed, l[1])
		}
		all = append(all, x)
	}
	return all
}

// Every query of the Grafana dashboard and of the alert rules names metrics
// that the server has, and labels that they have.
func TestMetricsOfDeploy(t *testing.T) {
	t.Parallel()
	have := described(t, serveFile(t, deployConfig))
	panels, alerts := panelQueries(t), alertQueries(t)
	if len(panels) < 20 || len(alerts) < 10 {
		t.Fatalf("%d queries of panels, %d of alerts", len(panels), len(alerts))
	}
	for _, q := range append(panels, alerts...) {
		for _, problem := range unknown(have, q) {
			t.Errorf("%s: %s, in %q", q.where, problem, q.expr)
		}
	}
	for _, bad := range []query{{"", "freeway_nothing", nil}, {"", `freeway_pool_entries{kind="live"}`, nil}, {"", `sum by (kind) (freeway_pool_entries)`, nil},
		{"", "freeway_pool_entries", []string{"kind"}}} {
		if len(unknown(have, bad)) == 0 {
			t.Errorf("the query %+v is taken", bad)
		}
	}
}

// unknown says which metrics and labels of a query do not exist.
func unknown(have map[string]map[string]bool, q query) (problems []string) {
	any := map[string]bool{"job": true, "instance": true, "le": true} // of Prometheus
	for _, m := range regexp.MustCompile(`\b((?:freeway|go|process)_\w+|up)\b(?:{([^}]*)})?`).FindAllStringSubmatch(q.expr, -1) {
		labels, ok := have[strings.TrimSuffix(m[1], "_bucket")]
		if !ok {
			problems = append(problems, "there is no metric "+m[1])
		}
		for l := range labels {
			any[l] = true
		}
		for _, l := range placeholders(`(\w+)\s*[!=]~?\s*"`, m[2]) {
			if !labels[l] && l != "job" && l != "instance" {
				problems = append(problems, m[1]+" has no label "+l)
			}
		}
	}
	for _, by := range placeholders(`\b(?:by|without|on|ignoring)\s*\(([^)]*)\)`, q.expr) {
		q.shown = append(q.shown, regexp.MustCompile(`\w+`).FindAllString(by, -1)...)
	}
	for _, l := range q.shown {
		if !any[l] {
			problems = append(problems, "no metric has the label "+l)
		}
	}
	return problems
}

// TestPanelsAreQueries: Prometheus takes every query of the dashboard.
func TestPanelsAreQueries(t *testing.T) {
	t.Parallel()
	type rule struct {
		Record, Expr string
	}
	type group struct {
		Name  string
		Rules []rule
	}
	g := group{Name: "panels"}
	for i, q := range panelQueries(t) {
		g.Rules = append(g.Rules, rule{fmt.Sprintf("panel:query%d", i), q.expr})
	}
	check := func(g group) (string, error) {
		text, err := yaml.Marshal(map[string]any{"groups": []group{g}})
		if err != nil {
			t.Fatal(err)
		}
		file := filepath.Join(t.TempDir(), "panels.yml")
		if err := os.WriteFile(file, text, 0o600); err != nil {
			t.Fatal(err)
		}
		return promtool(t, "", "check", "rules", file)
	}
	if out, err := check(g); err != nil {
		t.Errorf("promtool check rules: %v\n%s", err, out)
	}
	g.Rules = append(g.Rules, rule{"panel:bad", "sum(rate(freeway_checks_total)"})
	if out, err := check(g); err == nil {
		t.Errorf("promtool takes a broken query: %s", out)
	}
}
