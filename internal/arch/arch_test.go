// Package arch_test enforces the import arrows of docs/architecture.md.
package arch_test

import (
	"bytes"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// arrows says, for each package, which packages of this module it may import.
// What is not listed is forbidden. Test files may import lab and, to dial, dial as well.
const arrows = `
cmd/freeway       api checker config dial gateway internal/access internal/certs internal/geo internal/judge internal/logs internal/loopback internal/socks internal/trace internal/tune lab pool proxy scraper store web
config            api checker dial gateway internal/certs internal/geo pool proxy scraper store
api               internal/access internal/certs pool proxy scraper
web               internal/access pool proxy scraper
gateway           dial internal/certs internal/http1 internal/socks proxy
checker           dial internal/judge proxy
dial              internal/http1 internal/socks proxy
scraper           proxy
pool              proxy
store             proxy
deploy            config
lab               internal/judge internal/loopback internal/socks proxy
proxy
e2e
e2e/bench         dial gateway internal/loopback internal/tune pool proxy
e2e/soak          internal/loopback lab proxy
internal/access
internal/arch
internal/baddisk
internal/certs
internal/geo
internal/geo/maketable internal/geo
internal/http1
internal/judge
internal/logs
internal/loopback
internal/socks
internal/trace
internal/tune
`

// owners names the one package that may import a library.
const owners = `
go.etcd.io/bbolt                     store
github.com/PuerkitoBio/goquery       scraper
github.com/robfig/cron/v3            scraper
github.com/go-chi/chi/v5             api
github.com/danielgtaylor/huma/v2     api
golang.org/x/net/proxy               dial
github.com/spf13/cobra               cmd/freeway
golang.org/x/crypto                  internal/certs
github.com/oschwald/maxminddb-golang/v2 internal/geo
go.yaml.in/yaml/v4                   config scraper checker api
`

// figures: longest file in lines, from docs/architecture.md.
const maxLines = 600

func TestArrows(t *testing.T) {
	t.Parallel()
	allowed, owner := table(arrows), table(owners)
	forEachFile(t, func(name, pkg string, test bool, src []byte) {
		deps, known := allowed[pkg]
		if !known {
			t.Errorf("%s: package %s is not in the list of arrows; add it with what it may import", name, pkg)
			return
		}
		f, err := parser.ParseFile(token.NewFileSet(), name, src, parser.ImportsOnly)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			return
		}
		for _, spec := range f.Imports {
			imp, _ := strconv.Unquote(spec.Path.Value)
			checkImport(t, name, pkg, imp, test, deps, owner)
		}
	})
}

func checkImport(t *testing.T, name, pkg, imp string, test bool, deps []string, owner map[string][]string) {
	t.Helper()
	if dep, ok := strings.CutPrefix(imp, "freeway/"); ok {
		// Tests stand outside the walls: they may bring a lab, a dialer for its guard, and real neighbours.
		if dep != pkg && !slices.Contains(deps, dep) && !test {
			t.Errorf("%s: %s may not import %s", name, pkg, dep)
		}
		return
	}
	for lib, pkgs := range owner {
		if (imp == lib || strings.HasPrefix(imp, lib+"/")) && !slices.Contains(pkgs, pkg) && !test {
			t.Errorf("%s: only %s may import %s", name, strings.Join(pkgs, ", "), lib)
		}
	}
}

func TestFilesStayReadable(t *testing.T) {
	t.Parallel()
	forEachFile(t, func(name, _ string, test bool, src []byte) {
		if n := strings.Count(string(src), "\n"); n > maxLines && !test {
			t.Errorf("%s has %d lines, at most %d", name, n, maxLines)
		}
	})
}

// TestNoBackDoors looks for what must not exist anywhere outside tests.
func TestNoBackDoors(t *testing.T) {
	t.Parallel()
	forEachFile(t, func(name, pkg string, test bool, src []byte) {
		if test || pkg == "lab" {
			return
		}
		for _, word := range []string{"InsecureSkipVerify", "ProxyFromEnvironment", "http.DefaultClient", "http.Get(", "log.Fatal", "func init()"} {
			if strings.Contains(string(src), word) {
				t.Errorf("%s contains %s", name, word)
			}
		}
		src = bytes.ReplaceAll(src, []byte("panic(http.ErrAbortHandler)"), nil)       // how net/http is told to cut a connection
		src = bytes.ReplaceAll(src, []byte("panic(p) // goes on in the caller"), nil) // of another goroutine, where it is recovered
		if pkg != "cmd/freeway" && pkg != "e2e/bench" && pkg != "e2e/soak" && pkg != "internal/geo/maketable" && (strings.Contains(string(src), "os.Exit(") || strings.Contains(string(src), "\tpanic(")) {
			t.Errorf("%s ends the process", name)
		}
	})
}

func TestListsAreComplete(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	forEachFile(t, func(_, pkg string, _ bool, _ []byte) { seen[pkg] = true })
	for pkg := range table(arrows) {
		if !seen[pkg] {
			t.Errorf("the arrows name package %s, which does not exist", pkg)
		}
	}
}

func table(s string) map[string][]string {
	m := map[string][]string{}
	for line := range strings.SplitSeq(s, "\n") {
		if f := strings.Fields(line); len(f) > 0 {
			m[f[0]] = f[1:]
		}
	}
	return m
}

func forEachFile(t *testing.T, visit func(name, pkg string, test bool, src []byte)) {
	t.Helper()
	root := filepath.Join("..", "..")
	err := filepath.WalkDir(root, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && (d.Name() == "testdata" || p != root && strings.HasPrefix(d.Name(), ".")) {
			return filepath.SkipDir
		}
		if d.IsDir() || !strings.HasSuffix(p, ".go") {
			return nil
		}
		rel, err := filepath.Rel(root, p)
		if err != nil {
			return err
		}
		src, err := os.ReadFile(p)
		if err != nil {
			return err
		}
		name := filepath.ToSlash(rel)
		visit(name, path.Dir(name), strings.HasSuffix(name, "_test.go"), src)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
