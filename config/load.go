package config

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"
)

// maxFile bounds a configuration file, in bytes.
const maxFile = 1 << 20

// FileName is the name of the configuration file where none is given.
const FileName = "freeway.yaml"

// LoadOptions says where values come from. The zero value gives the defaults.
type LoadOptions struct {
	Path   string                                   // of the file; "": none. See Find
	Lookup func(key string) (string, bool)          // the environment; nil: none
	Names  []string                                 // of all variables of the environment, so that misspelt ones are found; nil: nobody looks
	Flags  []Flag                                   // in the order given; the last of several wins
	Open   func(name string) (io.ReadCloser, error) // nil: os.Open
}

// Flag is a value from the command line.
type Flag struct {
	Name  string // as it was written, for messages: "--log-level"
	Path  string // the key, one of Paths
	Value string // as in an environment variable
}

// Find returns the file to use where none is named: ./freeway.yaml, else
// freeway/freeway.yaml in $XDG_CONFIG_HOME (by default ~/.config), else "".
func Find(lookup func(string) (string, bool)) string {
	candidates := []string{FileName}
	if dir, ok := lookup("XDG_CONFIG_HOME"); ok && dir != "" {
		candidates = append(candidates, filepath.Join(dir, "freeway", FileName))
	} else if home, ok := lookup("HOME"); ok && home != "" {
		candidates = append(candidates, filepath.Join(home, ".config", "freeway", FileName))
	}
	for _, name := range candidates {
		if _, err := os.Stat(name); err == nil || !errors.Is(err, fs.ErrNotExist) {
			return name // one that cannot be read is reported by Load, not passed over
		}
	}
	return ""
}

// Load lays the file, the environment and the flags over the defaults and
// validates the result. An error about the contents is of type Errors and
// holds every mistake; the Config is then the zero value. Nothing but the file
// itself is looked at; see CheckFiles. Relative names of files that are read,
// such as password_file, judge_ca or a source's file, begin in the folder of
// the configuration file when it is that which names them.
func Load(opt LoadOptions) (Config, error) {
	text, err := readFile(opt)
	if err != nil {
		return Config{}, err
	}
	cfg := Default()
	root := reflect.ValueOf(&cfg).Elem()
	d := decoderOf(opt)
	d.overlay(opt, text, root)
	d.anchor(&cfg, opt.Path)
	broken := brokenPaths(d.errs)
	for _, e := range cfg.check() {
		if isWithin(e.Path, broken) { // what could not be read is not judged a second time
			continue
		}
		d.errs = append(d.errs, d.placed(e))
	}
	if err := d.errs.err(); err != nil {
		return Config{}, err
	}
	return cfg, nil
}

// decoderOf begins the decoding of what opt names.
func decoderOf(opt LoadOptions) *decoder {
	return &decoder{file: filepath.ToSlash(opt.Path), known: map[string]string{}, lines: map[string]int{}}
}

// overlay lays the file's text, the environment and the flags over root.
func (d *decoder) overlay(opt LoadOptions, text []byte, root reflect.Value) {
	if opt.Path != "" {
		d.document(text, root)
	}
	if opt.Lookup != nil {
		d.environment(opt.Lookup, root)
		d.misspelt(opt)
	}
	for _, f := range opt.Flags {
		d.override(f.Path, f.Name, f.Value, root)
	}
}

// placed says where a mistake that Validate found was made. Of two values that
// clash it is the one that was given, not a default.
func (d *decoder) placed(e Error) Error {
	if _, given := d.known[e.Path]; !given && e.other != nil {
		if _, given := d.known[e.other.Path]; given {
			e = *e.other
		}
	}
	e.Where, e.line = d.locate(e.Path)
	return e
}

// isWithin reports whether path, or something around it, is broken.
func isWithin(path string, broken map[string]bool) bool {
	return slices.ContainsFunc(parents(path), func(p string) bool { return broken[p] })
}

// brokenPaths are the paths that have mistakes already.
func brokenPaths(errs Errors) map[string]bool {
	out := map[string]bool{}
	for _, e := range errs {
		out[e.Path] = true
	}
	return out
}

// readFile returns the text of the file, nothing when there is none.
func readFile(opt LoadOptions) ([]byte, error) {
	if opt.Path == "" {
		return nil, nil
	}
	open := opt.Open
	if open == nil {
		open = func(name string) (io.ReadCloser, error) { return os.Open(name) }
	}
	f, err := open(opt.Path)
	if err != nil {
		return nil, fmt.Errorf("configuration: %w", err)
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, fmt.Errorf("configuration: %w", err)
	}
	if len(text) > maxFile {
		return nil, fmt.Errorf("configuration: %s is larger than %d bytes", opt.Path, maxFile)
	}
	return text, nil
}

// environment overlays every variable that is set. An empty one counts as not
// set, as containers often pass variables through empty.
func (d *decoder) environment(lookup func(string) (string, bool), root reflect.Value) {
	for _, path := range Paths() {
		name := Variable(path)
		if s, ok := lookup(name); ok && s != "" {
			d.override(path, "$"+name, s, root)
		}
	}
}

// linked matches what container platforms add for a service or a link named
// freeway-gateway, FREEWAY_GATEWAY_PORT_8080_TCP_ADDR for example. They are no
// mistakes.
var linked = regexp.MustCompile(`_(SERVICE_HOST|SERVICE_PORT(_.*)?|PORT(_\d+_.*)?|NAME|ENV_.*)$`)

// misspelt finds variables that look like keys and are none. Names whose first
// part is no section are somebody else's.
func (d *decoder) misspelt(opt LoadOptions) {
	var valid []string
	for _, path := range Paths() {
		valid = append(valid, Variable(path))
	}
	for _, name := range slices.Sorted(slices.Values(opt.Names)) {
		rest, ours := strings.CutPrefix(name, Variable(""))
		section, _, below := strings.Cut(rest, "_")
		if !ours || !below || !slices.Contains(keyNames(configType), strings.ToLower(section)) || linked.MatchString(name) ||
			slices.Contains(valid, name) {
			continue
		}
		if s, ok := opt.Lookup(name); ok && s != "" {
			d.errs.add("$"+clipKey(name), "", "unknown key; the nearest is %s", nearest(name, valid))
		}
	}
}

// override sets one path from a text that did not come from the file.
func (d *decoder) override(path, where, text string, root reflect.Value) {
	v, ok := field(root, path)
	if !ok {
		d.errs.add(where, path, "no such key")
		return
	}
	for known := range d.known { // the file's word on what is replaced is void
		if known == path || strings.HasPrefix(known, path+".") || strings.HasPrefix(known, path+"[") {
			delete(d.known, known)
		}
	}
	d.where = where
	defer func() { d.where = "" }()
	n, err := parseOverride(v.Type(), text)
	if err != nil {
		d.errs.add(where, path, "not YAML: %s", firstLine(err))
		return
	}
	d.value(n, v, path)
}

// parseOverride makes a node of a variable's or flag's text. A plain value is
// taken literally, a list is [a, b] or a,b, everything else is YAML.
func parseOverride(t reflect.Type, text string) (*yaml.Node, error) {
	compound := t.Kind() == reflect.Slice || t.Kind() == reflect.Map || reads(t, yamlType) || reads(t, legacyYAMLTyp)
	if !compound || reads(t, textType) {
		return literal(text), nil
	}
	start := strings.TrimSpace(text)
	if t.Kind() == reflect.Slice && !strings.HasPrefix(start, "[") && !strings.HasPrefix(start, "- ") {
		list := &yaml.Node{Kind: yaml.SequenceNode, Tag: "!!seq"}
		for part := range strings.SplitSeq(text, ",") {
			list.Content = append(list.Content, literal(strings.TrimSpace(part)))
		}
		return list, nil
	}
	var doc yaml.Node
	if err := yaml.Load([]byte(text), &doc); err != nil {
		return nil, err
	}
	if len(doc.Content) != 1 {
		return literal(""), nil
	}
	return doc.Content[0], nil
}

// literal is a node that is text, whatever it looks like.
func literal(s string) *yaml.Node {
	return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: s}
}

// locate finds where the value at path, or else the nearest thing around it,
// was set. Defaults and absent values have no place.
func (d *decoder) locate(path string) (where string, line int) {
	for _, p := range parents(path) {
		if place, ok := d.known[p]; ok {
			return place, d.lines[place]
		}
	}
	return "", 0
}
