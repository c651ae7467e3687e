package arch_test

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var link = regexp.MustCompile(`\]\(([^)]+)\)`)

// outline is what two languages of a text have in common.
type outline struct {
	levels []int      // of the headings, in order
	links  [][]string // by heading, sorted; without those to the other language
	code   []string   // lines of code blocks, without comments
}

// outlineOf reads a Markdown file with indented code blocks.
func outlineOf(t *testing.T, name string) (o outline) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("../..", name))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if level := len(line) - len(strings.TrimLeft(line, "#")); level > 0 {
			o.levels, o.links = append(o.levels, level), append(o.links, nil)
		}
		if strings.HasPrefix(line, "    ") {
			before, _, _ := strings.Cut(line, "# ")
			o.code = append(o.code, strings.TrimSpace(before))
		}
		for _, m := range link.FindAllStringSubmatch(line, -1) {
			if n := len(o.links) - 1; !strings.HasPrefix(m[1], "README") {
				o.links[n] = append(o.links[n], m[1])
			}
		}
	}
	for _, l := range o.links {
		slices.Sort(l)
	}
	return o
}

// The README's languages have the same headings, commands and links, and
// lead to each other; the links lead to files that are there.
func TestReadmesAreInStep(t *testing.T) {
	t.Parallel()
	const english, chinese = "README.md", "README.zh-CN.md"
	en, zh := outlineOf(t, english), outlineOf(t, chinese)
	if !slices.Equal(en.levels, zh.levels) {
		t.Errorf("levels of the headings: %v in %s, %v in %s", en.levels, english, zh.levels, chinese)
	}
	if !slices.Equal(en.code, zh.code) {
		for i := range min(len(en.code), len(zh.code)) {
			if en.code[i] != zh.code[i] {
				t.Errorf("the first command that differs is %q in %s, %q in %s", en.code[i], english, zh.code[i], chinese)
				break
			}
		}
		t.Errorf("%d lines of code in %s, %d in %s", len(en.code), english, len(zh.code), chinese)
	}
	for i := range min(len(en.links), len(zh.links)) {
		if !slices.Equal(en.links[i], zh.links[i]) {
			t.Errorf("links below heading %d: %v in %s, %v in %s", i+1, en.links[i], english, zh.links[i], chinese)
		}
		for _, l := range en.links[i] {
			file, _, _ := strings.Cut(l, "#")
			if _, err := os.Stat(filepath.Join("../..", file)); err != nil && !strings.Contains(l, "://") {
				t.Errorf("%s links to %s: %v", english, l, err)
			}
		}
	}
	for from, to := range map[string]string{english: chinese, chinese: english} {
		text, err := os.ReadFile(filepath.Join("../..", from))
		if err != nil || !strings.Contains(string(text), "]("+to+")") {
			t.Errorf("%s does not link to %s (%v)", from, to, err)
		}
	}
}
