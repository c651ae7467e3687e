package main

import (
	"strings"
	"testing"
)

// TestCommandIn: flags may come before the command.
func TestCommandIn(t *testing.T) {
	t.Parallel()
	for args, want := range map[string]string{
		"": "", "serve": "serve", "--config x.yaml serve": "serve", "--config=x.yaml serve --gateway.listen :1": "serve",
		"-c serve scan": "scan", "--log.level debug demo": "demo", "--config serve": "", "get --country us": "get",
		"sources list": "sources", "nonsense": "nonsense", "config check": "config", "-c x.yaml nonsense": "",
	} {
		if got := commandIn(strings.Fields(args)); got != want {
			t.Errorf("%q: %q, want %q", args, got, want)
		}
	}
}

// BenchmarkCommandIn is what each start of the program pays.
func BenchmarkCommandIn(b *testing.B) {
	for b.Loop() {
		commandIn([]string{"--config", "x.yaml", "serve"})
	}
}
