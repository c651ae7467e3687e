package main

import (
	"regexp"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

// TestRoff: no text is taken for a request or an escape.
func TestRoff(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"plain":         "plain",
		"--a-b":         `\-\-a\-b`,
		`C:\x`:          `C:\ex`,
		".so /etc/file": `\&.so /etc/file`,
		"a\n'b\n.c":     "a\n\\&'b\n\\&.c",
	} {
		if got := roff(in); got != want {
			t.Errorf("roff(%q) = %q, want %q", in, got, want)
		}
	}
}

// TestManPages: each page is made of requests of man(7) only, names every
// option, and has the sections that whatis and readers look for.
func TestManPages(t *testing.T) {
	t.Parallel()
	root := (&app{}).rootCommand()
	requests := regexp.MustCompile(`(?m)^\.(TH|SH|PP|TP|B|BR|nf|fi|nh)( |$)`)
	dots := regexp.MustCompile(`(?m)^[.']`)
	commands := allCommands(root)
	if len(commands) < 25 {
		t.Errorf("%d commands have a page, want 25 or more", len(commands))
	}
	for _, cmd := range commands {
		page := string(manPage(cmd))
		if a, b := len(dots.FindAllString(page, -1)), len(requests.FindAllString(page, -1)); a != b {
			t.Errorf("%s: of %d requests %d are unknown", cmd.CommandPath(), a, a-b)
		}
		for _, want := range []string{".SH NAME\n" + roff(manName(cmd)) + ` \- `, ".SH SYNOPSIS\n", ".SH DESCRIPTION\n", `\fB\-h\fP, \fB\-\-help\fP`} {
			if !strings.Contains(page, want) {
				t.Errorf("the page of %s has no %q", cmd.CommandPath(), want)
			}
		}
	}
}

// allCommands returns a command and all below it that have a page.
func allCommands(cmd *cobra.Command) []*cobra.Command {
	all := []*cobra.Command{cmd}
	for _, c := range cmd.Commands() {
		if hasPage(c) {
			all = append(all, allCommands(c)...)
		}
	}
	return all
}
