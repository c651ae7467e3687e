package main

import (
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
)

// Where the generated part of docs/metrics.md begins and ends.
const (
	metricsBegin = "<!-- metrics: made by make docs -->"
	metricsEnd   = "<!-- end of metrics -->"
)

// TestMetricsPage: docs/metrics.md has every metric of a running server with its
// type, labels and meaning, and no other.
func TestMetricsPage(t *testing.T) {
	t.Parallel()
	const name = "../../docs/metrics.md"
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(text), metricsBegin)
	_, after, ends := strings.Cut(rest, metricsEnd)
	if !ok || !ends {
		t.Fatalf("%s has no place for the table", name)
	}
	want := before + metricsBegin + "\n\n" + metricsTable(t, serveFile(t, deployConfig)) + "\n" + metricsEnd + after
	if string(text) == want {
		return
	}
	if !*update {
		t.Fatalf("%s is not up to date; run make docs", name)
	}
	if err := os.WriteFile(name, []byte(want), 0o600); err != nil {
		t.Fatal(err)
	}
}

var descText = regexp.MustCompile(`fqName: "([^"]+)", help: "((?:[^"\\]|\\.)*)".*constLabels: {(.*)}, variableLabels: {(.*)}}$`)

// metricsTable makes a row for each metric that is Freeway's own.
func metricsTable(t *testing.T, r *running) string {
	t.Helper()
	types := map[string]string{}
	families, err := r.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		types[f.GetName()] = strings.ToLower(f.GetType().String())
	}
	descs := make(chan *prometheus.Desc, 1000)
	r.registry.Describe(descs)
	close(descs)
	rows, labels := map[string]string{}, map[string]map[string]bool{}
	for d := range descs {
		m := descText.FindStringSubmatch(d.String())
		if m == nil {
			t.Fatalf("cannot read %s", d)
		}
		if !strings.HasPrefix(m[1], "freeway_") {
			continue
		}
		if labels[m[1]] == nil {
			labels[m[1]] = map[string]bool{}
		}
		for _, l := range regexp.MustCompile(`(\w+)(="[^"]*")?`).FindAllStringSubmatch(m[3]+" "+m[4], -1) {
			labels[m[1]][l[1]] = true
		}
		kind := types[m[1]]
		switch { // where nothing was counted yet, by the name
		case kind != "":
		case strings.HasSuffix(m[1], "_total"):
			kind = "counter"
		case m[1] == "freeway_check_seconds":
			kind = "histogram"
		default:
			kind = "gauge"
		}
		rows[m[1]] = fmt.Sprintf("%s | LABELS | %s |", kind, strings.ReplaceAll(m[2], `\"`, `"`))
	}
	var b strings.Builder
	b.WriteString("| metric | type | labels | meaning |\n|---|---|---|---|\n")
	for _, name := range slices.Sorted(maps.Keys(rows)) {
		fmt.Fprintf(&b, "| `%s` | %s\n", name, strings.Replace(rows[name], "LABELS", strings.Join(slices.Sorted(maps.Keys(labels[name])), ", "), 1))
	}
	return b.String()
}
