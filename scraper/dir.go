package scraper

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"go.yaml.in/yaml/v4"
)

const (
	maxDirFiles   = 1000    // files of Sources.Dir that are looked at
	maxDefinition = 1 << 20 // bytes of one file of definitions
)

// definition is a source that is to be read, from wherever it was defined.
type definition struct {
	Source
	on  bool  // as configured; Enable may have the last word
	err error // why it cannot be read at all; shown in its result
}

// assemble puts the definitions together: the operator's list, then the
// folder, then the catalogue. The first with a name wins.
func assemble(s Sources, folder []definition) []definition {
	var out []definition
	taken := map[string]bool{}
	add := func(d definition) {
		if !taken[d.Name] {
			taken[d.Name] = true
			out = append(out, d)
		}
	}
	for _, src := range s.List {
		src = inherit(src)
		add(definition{Source: src, on: src.On()})
	}
	for _, d := range folder {
		add(d)
	}
	if !s.Builtin.All && len(s.Builtin.Names) == 0 {
		return out
	}
	chosen := map[string]bool{}
	for _, name := range s.Builtin.Names {
		chosen[name] = true
	}
	for _, src := range Builtins() {
		if s.Builtin.All || chosen[src.Name] {
			add(definition{Source: src, on: src.On() || !s.Builtin.All})
		}
	}
	return out
}

// Known returns every source there is by s, with Enabled set as it is to be
// read: the operator's, those of the folder and the whole catalogue. mistakes
// says, by name, why some cannot be read.
func (s Sources) Known() (all []Source, mistakes map[string]error) {
	_, folder := readDir(s.Dir)
	mistakes = map[string]error{}
	known := map[string]bool{}
	for _, d := range assemble(s, folder) {
		if d.err != nil {
			mistakes[d.Name] = d.err
		}
		on := d.on && d.err == nil
		d.Enabled = &on
		known[d.Name] = true
		all = append(all, d.Source)
	}
	off := false
	for _, src := range Builtins() {
		if !known[src.Name] {
			src.Enabled = &off
			all = append(all, src)
		}
	}
	return all, mistakes
}

// readDir reads a folder of lists and of source definitions. look changes when
// the folder does. A folder that is missing holds nothing. A list that a
// definition in the folder names is read as that says, and not once more as a
// public list of its own; relative paths are relative to the folder.
func readDir(dir string) (look string, out []definition) {
	if dir == "" {
		return "", nil
	}
	var lists []string
	used := map[string]bool{} // lists that a definition names
	for _, path := range listDir(dir, &look) {
		if defs, ok := readDefinitions(path); ok {
			for _, d := range defs {
				if d.File != "" && !filepath.IsAbs(d.File) {
					d.File = filepath.Join(dir, d.File)
				}
				used[filepath.Clean(d.File)] = true
				out = append(out, d)
			}
			continue
		}
		lists = append(lists, path)
	}
	for _, path := range lists {
		if !used[filepath.Clean(path)] {
			out = append(out, definition{Source: Source{Name: fileName(path), File: path}, on: true})
		}
	}
	return look, out
}

// listDir returns the regular files of a folder by name, without hidden and
// backup files, and writes to look what they look like.
func listDir(dir string, look *string) []string {
	var b strings.Builder
	defer func() { *look = b.String() }()
	entries, err := os.ReadDir(dir)
	if err != nil {
		fmt.Fprint(&b, err)
		return nil
	}
	var out []string
	for _, e := range entries {
		name := e.Name()
		if strings.HasPrefix(name, ".") || strings.HasSuffix(name, "~") || len(out) == maxDirFiles {
			continue
		}
		path := filepath.Join(dir, name)
		info, err := os.Stat(path) // follows links, as mounted configuration has them
		if err != nil || !info.Mode().IsRegular() {
			continue
		}
		if fmt.Fprintf(&b, "%q", name); isYAML(name) {
			fmt.Fprintf(&b, " %d %d", info.Size(), info.ModTime().UnixNano())
		}
		b.WriteByte('\n')
		out = append(out, path)
	}
	return out
}

// isYAML reports whether a file may hold definitions, by its name.
func isYAML(name string) bool {
	ext := strings.ToLower(filepath.Ext(name))
	return ext == ".yaml" || ext == ".yml"
}

// readDefinitions reads a YAML file of definitions: one source, a sequence of
// them, or a mapping with the key sources. ok is false for a file that is none
// of these, which may be a list in YAML. Mistakes are in the definitions.
func readDefinitions(path string) (defs []definition, ok bool) {
	if !isYAML(path) {
		return nil, false
	}
	text, err := readSmall(path, maxDefinition)
	if err != nil {
		return nil, false
	}
	var sources []Source
	switch definitionShape(text) {
	case "sources":
		var doc struct {
			Sources []Source `yaml:"sources"`
		}
		err = yaml.Load(text, &doc, yaml.WithKnownFields())
		sources = doc.Sources
	case "list":
		err = yaml.Load(text, &sources, yaml.WithKnownFields())
	case "one":
		sources = make([]Source, 1)
		err = yaml.Load(text, &sources[0], yaml.WithKnownFields())
	default:
		return nil, false
	}
	if err != nil {
		broken := Source{Name: fileName(path), File: path}
		return []definition{{Source: broken, err: fmt.Errorf("read definitions: %w", err)}}, true
	}
	for _, src := range sources {
		src = inherit(src)
		d := definition{Source: src, on: src.On()}
		if d.err = src.Validate(); d.err != nil && !validName(src.Name) {
			d.Name = fileName(path)
		}
		defs = append(defs, d)
	}
	return defs, true
}

// definitionShape tells how a file holds definitions; "" when it does not. A
// source has a name and a url or file; the entries of lists in YAML, such as
// those of Clash, have neither.
func definitionShape(text []byte) string {
	if !bytes.Contains(text, []byte("url")) && !bytes.Contains(text, []byte("file")) {
		return ""
	}
	var doc any
	if yaml.Load(text, &doc) != nil {
		return shapeOfBroken(text)
	}
	isSource := func(v any) bool {
		m, _ := v.(map[string]any)
		_, name := m["name"].(string)
		_, url := m["url"].(string)
		_, file := m["file"].(string)
		return name && (url || file)
	}
	switch v := doc.(type) {
	case map[string]any:
		if list, ok := v["sources"].([]any); ok && len(list) > 0 {
			return "sources"
		}
		if isSource(v) {
			return "one"
		}
	case []any:
		if len(v) > 0 && isSource(v[0]) {
			return "list"
		}
	}
	return ""
}

// shapeOfBroken lets a file that is no YAML but begins like definitions be
// reported instead of being read as a list.
func shapeOfBroken(text []byte) string {
	if bytes.HasPrefix(text, []byte("sources:")) || bytes.Contains(text, []byte("\nsources:")) {
		return "sources"
	}
	return ""
}

// readSmall reads a file of at most limit bytes.
func readSmall(path string, limit int64) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if info.Size() > limit {
		return nil, errors.New("too large")
	}
	return fs.ReadFile(os.DirFS(filepath.Dir(path)), filepath.Base(path))
}

// fileName makes the name of a source out of that of its file.
func fileName(path string) string {
	name := []byte(filepath.Base(path))
	for i := range name {
		if !validName(string(name[i : i+1])) {
			name[i] = '-'
		}
	}
	return string(name[:min(len(name), 64)])
}
