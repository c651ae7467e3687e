package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestCommandsOfDeploy: every command line of image, units, chart and base is one
// that the program takes.
func TestCommandsOfDeploy(t *testing.T) {
	t.Parallel()
	found := 0
	for _, from := range []struct{ files, pattern string }{
		{"docker/Dockerfile", `(?m)CMD (\[.*\])$`},
		{"systemd/*.service", `(?m)^ExecStart=(.*)$`},
		{"helm/freeway/templates/*.yaml", `(?m)^ +args: (\[.*\])$`},
		{"helm/freeway/templates/tests/*.yaml", `(?m)^ +args: (\[.*\])$`},
		{"kustomize/base/*.yaml", `(?m)^ +args: (\[.*\])$`},
	} {
		files, err := filepath.Glob("../../deploy/" + from.files)
		if err != nil || len(files) == 0 {
			t.Fatalf("%s: %v (%v)", from.files, files, err)
		}
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			for _, m := range regexp.MustCompile(from.pattern).FindAllStringSubmatch(string(text), -1) {
				found++
				if err := takes(arguments(m[1])); err != nil {
					t.Errorf("%s: %s: %v", file, m[1], err)
				}
			}
		}
	}
	if found < 6 {
		t.Errorf("only %d command lines were found", found)
	}
	for _, bad := range []string{"serve --nothing", "health", "healthcheck --live --servr x"} {
		if takes(strings.Fields(bad)) == nil {
			t.Errorf("%q is taken", bad)
		}
	}
}

// arguments splits a command line, or a list as YAML or JSON writes it.
func arguments(line string) []string {
	line = regexp.MustCompile(`{{.*}}`).ReplaceAllString(line, "http://template")
	var list []string
	if json.Unmarshal([]byte(line), &list) != nil {
		list = strings.FieldsFunc(line, func(r rune) bool { return strings.ContainsRune(`[], "`, r) })
	}
	if len(list) > 0 && list[0] == "/usr/bin/freeway" {
		list = list[1:]
	}
	return list
}

// takes tells whether there is such a command with such flags.
func takes(args []string) error {
	cmd, rest, err := (&app{}).rootCommand().Find(args)
	if err != nil {
		return err
	}
	if err := cmd.ParseFlags(rest); err != nil {
		return err
	}
	return cmd.ValidateArgs(cmd.Flags().Args())
}
