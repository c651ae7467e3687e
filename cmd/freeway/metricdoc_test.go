package main

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
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
	rows, labels := map[string]string{}, map[string]map[string]bool{}
	for _, d := range descriptions(t, r) {
		if !strings.HasPrefix(d.name, "freeway_") {
			continue
		}
		if labels[d.name] == nil {
			labels[d.name] = map[string]bool{}
		}
		for _, l := range slices.Concat(d.labels, d.fixed) {
			labels[d.name][l] = true
		}
		kind := types[d.name]
		switch { // where nothing was counted yet, by the name
		case kind != "":
		case strings.HasSuffix(d.name, "_total"):
			kind = "counter"
		case d.name == "freeway_check_seconds":
			kind = "histogram"
		default:
			kind = "gauge"
		}
		rows[d.name] = fmt.Sprintf("%s | LABELS | %s |", kind, d.help)
	}
	var b strings.Builder
	b.WriteString("| metric | type | labels | meaning |\n|---|---|---|---|\n")
	for _, name := range slices.Sorted(maps.Keys(rows)) {
		fmt.Fprintf(&b, "| `%s` | %s\n", name, strings.Replace(rows[name], "LABELS", strings.Join(slices.Sorted(maps.Keys(labels[name])), ", "), 1))
	}
	return b.String()
}
