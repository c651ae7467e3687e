package main

import (
	"os"
	"path/filepath"
	"testing"
)

// TestExplainFormats: the same answer as JSON and as a table, to stdout or into
// a file; what the server says cannot move the cursor.
func TestExplainFormats(t *testing.T) {
	t.Parallel()
	const answer = `{"total":9,"steps":[{"name":"country\u001b[2J","removed":7,"left":2}],"left":2,"exits":1,"panic":true,"chosen":[{"url":"http://198.51.100.7:80"}]}`
	url, _ := adminServer(t, 200, answer)
	const table = "CONDITION    REMOVES  LEAVES\nknown                 9\ncountry [2J  7        2\n" +
		"left                  2, exits: 1; so few that ejections are ignored\nfor example           http://198.51.100.7:80\n"
	file := filepath.Join(t.TempDir(), "out")
	for _, format := range []string{"table", "json"} {
		args := []string{"explain", "--server", url, "--format", format, "bob", "http://example.com/"}
		code, out, errs := command(t, nil, args...)
		if code != 0 || format == "table" && out != table || format == "json" && (len(out) < len(answer) || out[0] != '{') {
			t.Errorf("explain --format %s = %d, %q, %q", format, code, out, errs)
		}
		code, none, _ := command(t, nil, append(args, "--output", file)...)
		if written, err := os.ReadFile(file); code != 0 || none != "" || err != nil || string(written) != out {
			t.Errorf("explain --format %s --output = %d, %q, file %q (%v), want %q", format, code, none, written, err, out)
		}
	}
	if code, _, errs := command(t, nil, "explain", "--server", url, "--format", "xml", "bob", "http://example.com/"); code != 2 {
		t.Errorf("explain --format xml = %d, %q, want 2", code, errs)
	}
}

// TestGetOutput: the file is there when there is an answer, and only then.
func TestGetOutput(t *testing.T) {
	t.Parallel()
	url, _ := adminServer(t, 200, "http://198.51.100.7:80")
	none, _ := adminServer(t, 404, `{"detail":"nothing matches"}`)
	file := filepath.Join(t.TempDir(), "out")
	if code, _, errs := command(t, nil, "get", "--server", none, "--output", file); code != 1 {
		t.Errorf("get of nothing = %d, %q, want 1", code, errs)
	}
	if _, err := os.Stat(file); !os.IsNotExist(err) {
		t.Errorf("a file without an answer: %v", err)
	}
	code, out, errs := command(t, nil, "get", "--server", url, "--output", file)
	if text, err := os.ReadFile(file); code != 0 || out != "" || string(text) != "http://198.51.100.7:80\n" {
		t.Errorf("get --output = %d, %q, %q, file %q (%v)", code, out, errs, text, err)
	}
}

// TestLabNeedsProxies: a lab without any is a mistake, not an empty world.
func TestLabNeedsProxies(t *testing.T) {
	t.Parallel()
	for _, n := range []string{"0", "-1"} {
		if code, out, errs := command(t, nil, "lab", "--upstreams", n); code != 2 || out != "" || errs == "" {
			t.Errorf("lab --upstreams %s = %d, %q, %q, want wrong usage", n, code, out, errs)
		}
	}
}
