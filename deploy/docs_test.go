package deploy_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestPage: every file, folder and make target that the page about deployment
// names is there.
func TestPage(t *testing.T) {
	t.Parallel()
	text := read(t, "../docs/deployment.md")
	links := regexp.MustCompile(`\]\(([^)#]+)(?:#[^)]*)?\)`).FindAllStringSubmatch(text, -1)
	for _, m := range links {
		if _, err := os.Stat(filepath.Join("../docs", m[1])); err != nil {
			t.Errorf("the link %s leads nowhere", m[1])
		}
	}
	for _, m := range regexp.MustCompile(`\bdeploy/[\w./-]*\w`).FindAllString(text, -1) {
		if _, err := os.Stat(strings.TrimPrefix(m, "deploy/")); err != nil {
			t.Errorf("%s is not there", m)
		}
	}
	makefile := read(t, "../Makefile") + read(t, "deploy.mk")
	for _, m := range regexp.MustCompile("(?m)(?:^    |`)make ([a-z-]+)").FindAllStringSubmatch(text, -1) {
		if !regexp.MustCompile(`(?m)^` + m[1] + `:`).MatchString(makefile) {
			t.Errorf("there is no make %s", m[1])
		}
	}
	if len(links) < 8 {
		t.Errorf("only %d links were found", len(links))
	}
}
