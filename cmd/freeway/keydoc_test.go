package main

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"freeway/config"
	"freeway/proxy"
)

// Where the generated part of docs/configuration.md begins and ends.
const (
	keysBegin = "<!-- made by `make docs` from the structs; do not edit -->\n"
	keysEnd   = "<!-- end of what is made -->\n"
)

// TestConfigurationPage: docs/configuration.md has every key with its type,
// default, meaning, variable, and whether a reload changes it. With -update it is written.
func TestConfigurationPage(t *testing.T) {
	t.Parallel()
	const name = "../../docs/configuration.md"
	page, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	head, rest, ok1 := strings.Cut(string(page), keysBegin)
	old, tail, ok2 := strings.Cut(rest, keysEnd)
	if !ok1 || !ok2 {
		t.Fatalf("%s has no place for the keys", name)
	}
	made := keyTables(t)
	for _, path := range config.Paths() {
		if !strings.Contains(made, "| `"+path+"` |") {
			t.Errorf("%s is not on the page", path)
		}
	}
	if old == made {
		return
	}
	if !*update {
		t.Fatalf("%s is not up to date; run make docs", name)
	}
	if err := os.WriteFile(name, []byte(head+keysBegin+made+keysEnd+tail), 0o644); err != nil {
		t.Fatal(err)
	}
}

// keyTables makes a table for each section.
func keyTables(t *testing.T) string {
	var b strings.Builder
	section, below := "", ""
	for _, path := range config.Paths() {
		if s, _, _ := strings.Cut(path, "."); s != section {
			section = s
			fmt.Fprintf(&b, "\n### %s\n\n%s\n\n| key | type | default | meaning | reload | variable |\n|---|---|---|---|---|---|\n", s, config.Describe(s))
		}
		if i := strings.LastIndexByte(path, '.'); path[:i] != below {
			if below = path[:i]; below != section {
				fmt.Fprintf(&b, "| `%s` | section | | %s | | |\n", below, textCell(config.Describe(below)))
			}
		}
		v := config.Field(config.Default(), path)
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s | %s | `%s` |\n", path, typeName(reflect.TypeOf(v)), codeCell(config.Value(config.Default(), path)),
			textCell(config.Describe(path)), atReload(path), config.Variable(path))
		itemRows(t, &b, path+"[]", reflect.TypeOf(v), atReload(path))
	}
	b.WriteString("\n")
	return b.String()
}

// atReload says what a reload does with a key.
func atReload(path string) string {
	if slices.ContainsFunc(fixedPaths, func(p string) bool { return path == p || strings.HasPrefix(path, p+".") }) {
		return "restart"
	}
	return "live"
}

// itemRows has the keys of what stands in a list, from the comments at its fields.
func itemRows(t *testing.T, b *strings.Builder, path string, list reflect.Type, reload string) {
	if list.Kind() != reflect.Slice || list.Elem().Kind() != reflect.Struct || !strings.HasPrefix(list.Elem().PkgPath(), "freeway/") {
		return
	}
	fieldRows(t, b, path, list.Elem(), reload)
}

// fieldRows has the keys of a struct.
func fieldRows(t *testing.T, b *strings.Builder, path string, s reflect.Type, reload string) {
	about := fieldComments(t, s)
	for i := range s.NumField() {
		f := s.Field(i)
		key, _, _ := strings.Cut(f.Tag.Get("yaml"), ",")
		if key == "" || key == "-" {
			continue
		}
		if f.Type.Kind() == reflect.Struct && f.Type.PkgPath() != "freeway/proxy" && strings.HasPrefix(f.Type.PkgPath(), "freeway/") {
			if about[f.Name] != "" {
				fmt.Fprintf(b, "| `%s.%s` | section | | %s | %s | |\n", path, key, textCell(about[f.Name]), reload)
			}
			fieldRows(t, b, path+"."+key, f.Type, reload)
			continue
		}
		fmt.Fprintf(b, "| `%s.%s` | %s | | %s | %s | |\n", path, key, typeName(f.Type), textCell(about[f.Name]), reload)
	}
}

// fieldComments reads what stands behind the fields of a struct of this module.
func fieldComments(t *testing.T, s reflect.Type) map[string]string {
	t.Helper()
	dir := filepath.Join("../..", strings.TrimPrefix(s.PkgPath(), "freeway/"))
	files, err := filepath.Glob(dir + "/*.go")
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	for _, name := range files {
		f, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(f, func(n ast.Node) bool {
			spec, ok := n.(*ast.TypeSpec)
			if !ok || spec.Name.Name != s.Name() {
				return true
			}
			if body, ok := spec.Type.(*ast.StructType); ok {
				for _, field := range body.Fields.List {
					for _, id := range field.Names {
						out[id.Name] = forReaders(s, strings.TrimSpace(strings.ReplaceAll(field.Comment.Text()+field.Doc.Text(), "\n", " ")))
					}
				}
			}
			return false
		})
	}
	return out
}

// forReaders puts keys in the place of names in Go.
func forReaders(s reflect.Type, text string) string {
	text = strings.ReplaceAll(text, "nil:", "left out:")
	text = strings.ReplaceAll(text, "Config.", strings.TrimPrefix(s.PkgPath(), "freeway/")+".")
	words := strings.Split(text, " ")
	for i, w := range words {
		name := strings.TrimRight(w, ".,;:")
		f, ok := s.FieldByName(name[strings.LastIndexByte(name, '.')+1:])
		if key, _, _ := strings.Cut(f.Tag.Get("yaml"), ","); ok && i > 0 && key != "" && !strings.HasSuffix(words[i-1], ".") {
			words[i] = strings.TrimSuffix(name, f.Name) + key + w[len(name):]
		}
	}
	return strings.Join(words, " ")
}

// typeName is a type as people write its values.
func typeName(t reflect.Type) string {
	switch t.Kind() {
	case reflect.Pointer:
		return typeName(t.Elem())
	case reflect.Slice:
		return "list of " + typePlural(typeName(t.Elem()))
	}
	switch {
	case t == reflect.TypeFor[time.Duration]():
		return "duration"
	case t == reflect.TypeFor[proxy.Size]():
		return "size"
	case t == reflect.TypeFor[proxy.Secret]():
		return "secret"
	case t.Name() == "Prefix":
		return "range"
	case t.Name() == "Addr":
		return "address"
	case t.Name() == "Builtin":
		return "true, false or names"
	}
	switch t.Kind() {
	case reflect.Bool:
		return "true or false"
	case reflect.Float64:
		return "number"
	case reflect.Map:
		return "map of text"
	case reflect.Struct:
		return "item"
	case reflect.String:
		return "text"
	}
	if t.PkgPath() != "" {
		return "text" // a word that reads itself
	}
	return "integer"
}

// typePlural is the plural of a type's name.
func typePlural(s string) string {
	switch s {
	case "text":
		return "texts"
	case "address":
		return "addresses"
	}
	return s + "s"
}

// codeCell is a value in a table.
func codeCell(s string) string {
	if s == "" {
		return "empty"
	}
	return "`" + strings.ReplaceAll(s, "|", "\\|") + "`"
}

// textCell keeps a text within its cell.
func textCell(s string) string {
	return strings.NewReplacer("|", "\\|", "<", "&lt;").Replace(s)
}
