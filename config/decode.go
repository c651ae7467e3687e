package config

import (
	"encoding"
	"errors"
	"fmt"
	"math"
	"net/netip"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v4"
)

// maxNodes bounds how many values a file may stand for once its aliases are
// followed. A configuration has a few hundred.
const maxNodes = 200_000

// decoder overlays YAML nodes on a Config and notes every mistake with its
// place. The yaml library stops at types; this knows paths, too.
type decoder struct {
	file  string            // as messages name it
	where string            // fixed place of all values, for variables and flags; "" for a file
	known map[string]string // path -> place, of every value that was set
	lines map[string]int    // place -> line
	errs  Errors
	nodes int
}

// document parses a file's text and overlays it.
func (d *decoder) document(text []byte, v reflect.Value) {
	var doc yaml.Node
	if err := yaml.Load(text, &doc); err != nil {
		if isEmptyDocument(doc, err) {
			return
		}
		d.syntax(err)
		return
	}
	if len(doc.Content) == 1 {
		d.value(doc.Content[0], v, "")
	}
}

// isEmptyDocument tells a file without contents from a broken one.
func isEmptyDocument(doc yaml.Node, err error) bool {
	return doc.Kind == 0 && strings.HasSuffix(err.Error(), "no documents in stream")
}

// syntax reports what the yaml parser found wrong.
func (d *decoder) syntax(err error) {
	var one *yaml.LoadError
	var many *yaml.LoadErrors
	switch {
	case errors.As(err, &one):
	case errors.As(err, &many) && len(many.Errors) > 0:
		one = many.Errors[0]
	default:
		d.errs.add(d.file, "", "not YAML: %v", err)
		return
	}
	n := yaml.Node{Line: one.Mark.Line}
	msg := strings.TrimPrefix(one.Message, "yaml: ")
	if one.ContextMsg != "" {
		msg += " " + one.ContextMsg
		if line := one.ContextMark.Line; line > 0 && line < one.Mark.Line {
			msg += fmt.Sprintf(" that began on line %d", line)
		}
	}
	d.fail(&n, "", "not YAML: %s", msg)
}

// fail notes a mistake at the node's line.
func (d *decoder) fail(n *yaml.Node, path, format string, args ...any) {
	d.errs.add(d.place(n), path, format, args...)
	if d.where == "" {
		d.errs[len(d.errs)-1].line = n.Line
	}
}

// place names where a node stands, for messages.
func (d *decoder) place(n *yaml.Node) string {
	if d.where != "" {
		return d.where
	}
	if n.Line == 0 {
		return d.file
	}
	return d.file + ":" + strconv.Itoa(n.Line)
}

// value overlays n on v. Null leaves v as it is.
func (d *decoder) value(n *yaml.Node, v reflect.Value, path string) {
	if d.nodes++; d.nodes > maxNodes {
		if d.nodes == maxNodes+1 {
			d.fail(n, path, "too large: more than %d values once aliases are followed", maxNodes)
		}
		return
	}
	if n.Kind == yaml.AliasNode {
		d.value(n.Alias, v, path)
		return
	}
	if n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null" && d.where == "" {
		return
	}
	d.note(n, path)
	if v.Kind() == reflect.Pointer {
		p := reflect.New(v.Type().Elem())
		d.value(n, p.Elem(), path)
		v.Set(p)
		return
	}
	t := v.Type()
	switch {
	case t == durationType:
		d.scalar(n, path, func(s string) error { return setDuration(v, s) })
	case t.Kind() == reflect.Struct && n.Kind == yaml.MappingNode && !reads(t, textType):
		d.mapping(n, v, path)
	case reads(t, yamlType), reads(t, legacyYAMLTyp):
		d.custom(n, v, path)
	case reads(t, textType):
		d.scalar(n, path, func(s string) error { return setText(v, s) })
	case t.Kind() == reflect.Struct:
		d.fail(n, path, "expected keys (%s), found %s", strings.Join(keyNames(t), ", "), describe(n))
	case t.Kind() == reflect.Slice:
		d.sequence(n, v, path)
	case t.Kind() == reflect.Map:
		d.dictionary(n, v, path)
	default:
		d.scalar(n, path, func(s string) error { return setBasic(v, s) })
	}
}

// note remembers where the value at path was set, for Validate's mistakes.
func (d *decoder) note(n *yaml.Node, path string) {
	place := d.place(n)
	d.known[path] = place
	if d.where == "" {
		d.lines[place] = n.Line
	}
}

// mapping overlays a section key by key.
func (d *decoder) mapping(n *yaml.Node, v reflect.Value, path string) {
	seen := map[string]int{}
	keys := keysOf(v.Type())
	for i := 0; i+1 < len(n.Content); i += 2 {
		kn, vn := n.Content[i], n.Content[i+1]
		full := join(path, kn.Value)
		if line, twice := seen[kn.Value]; twice {
			d.fail(kn, full, "given twice, first on line %d", line)
			continue
		}
		seen[kn.Value] = kn.Line
		found := false
		for _, k := range keys {
			if k.name == kn.Value && kn.Kind == yaml.ScalarNode {
				d.value(vn, v.Field(k.index), full)
				found = true
			}
		}
		if !found {
			d.unknown(kn, v.Type(), path)
		}
	}
}

// unknown names the nearest valid key: one of the same section when a slip of
// the finger explains it, else a key of that very name in another section.
func (d *decoder) unknown(kn *yaml.Node, t reflect.Type, path string) {
	name := kn.Value
	best := nearest(name, keyNames(t))
	if !isNear(name, best) {
		for _, p := range Paths() {
			if p == name || strings.HasSuffix(p, "."+name) {
				d.fail(kn, join(path, clipKey(name)), "unknown key; did you mean %s?", p)
				return
			}
		}
	}
	d.fail(kn, join(path, clipKey(name)), "unknown key; the nearest is %s", join(path, best))
}

// sequence replaces a list; lists are not merged with the defaults.
func (d *decoder) sequence(n *yaml.Node, v reflect.Value, path string) {
	if n.Kind != yaml.SequenceNode {
		d.fail(n, path, "expected a list such as [a, b], found %s", describe(n))
		return
	}
	out := reflect.MakeSlice(v.Type(), len(n.Content), len(n.Content))
	for i, item := range n.Content {
		at := path + "[" + strconv.Itoa(i) + "]"
		if item.Kind == yaml.ScalarNode && item.ShortTag() == "!!null" {
			d.fail(item, at, "empty item")
			continue
		}
		d.value(item, out.Index(i), at)
	}
	v.Set(out) // an empty list is said on purpose: not nil, which would mean the default
}

// dictionary replaces a map.
func (d *decoder) dictionary(n *yaml.Node, v reflect.Value, path string) {
	if n.Kind != yaml.MappingNode {
		d.fail(n, path, "expected names and values such as {name: value}, found %s", describe(n))
		return
	}
	t := v.Type()
	out := reflect.MakeMap(t)
	for i := 0; i+1 < len(n.Content); i += 2 {
		k, item := reflect.New(t.Key()).Elem(), reflect.New(t.Elem()).Elem()
		at := join(path, n.Content[i].Value)
		d.value(n.Content[i], k, at)
		if out.MapIndex(k).IsValid() {
			d.fail(n.Content[i], at, "given twice")
		}
		d.value(n.Content[i+1], item, at)
		out.SetMapIndex(k, item)
	}
	v.Set(out)
}

// linePrefix is what readers put before their messages; the place says it already.
var linePrefix = regexp.MustCompile(`^(yaml: |line \d+: )+`)

// custom calls a type's own reader and shortens what it says to one line.
func (d *decoder) custom(n *yaml.Node, v reflect.Value, path string) {
	var err error
	switch u := v.Addr().Interface().(type) {
	case yaml.Unmarshaler:
		err = u.UnmarshalYAML(n)
	case legacyUnmarshaler:
		err = u.UnmarshalYAML(n.Decode)
	}
	if err != nil {
		d.fail(n, path, "%s", linePrefix.ReplaceAllString(firstLine(err), ""))
	}
}

// scalar hands the text of one value to set.
func (d *decoder) scalar(n *yaml.Node, path string, set func(string) error) {
	if n.Kind != yaml.ScalarNode {
		d.fail(n, path, "expected one value, found %s", describe(n))
		return
	}
	if err := set(n.Value); err != nil {
		d.fail(n, path, "%s", firstLine(err))
	}
}

// setDuration reads Go's notation; nothing here is negative.
func setDuration(v reflect.Value, s string) error {
	t, err := time.ParseDuration(s)
	if err != nil || t < 0 {
		return fmt.Errorf("bad duration %s; write for example 300ms, 5s, 10m or 24h", clip(s))
	}
	v.SetInt(int64(t))
	return nil
}

// setText reads types with a text form; those with a usual mistake have messages of
// their own.
func setText(v reflect.Value, s string) error {
	switch p := v.Addr().Interface().(type) {
	case *netip.Prefix:
		pre, err := netip.ParsePrefix(s)
		if err != nil {
			return fmt.Errorf("bad range %s; write an address and a prefix length, for example 10.0.0.0/8 or 2001:db8::/32", clip(s))
		}
		if pre != pre.Masked() {
			return fmt.Errorf("bad range %s; bits behind the prefix length are set: write %s", clip(s), pre.Masked())
		}
		*p = pre
		return nil
	case *netip.Addr:
		a, err := netip.ParseAddr(s)
		if err != nil || a.Zone() != "" {
			return fmt.Errorf("bad address %s; write for example 192.0.2.1 or 2001:db8::1", clip(s))
		}
		*p = a
		return nil
	case encoding.TextUnmarshaler:
		return p.UnmarshalText([]byte(s))
	}
	return errors.New("cannot be set")
}

// setBasic reads numbers, which are never negative, words and true or false.
func setBasic(v reflect.Value, s string) error {
	switch v.Kind() {
	case reflect.String:
		v.SetString(s)
	case reflect.Bool:
		if s != "true" && s != "false" {
			return fmt.Errorf("bad value %s; write true or false", clip(s))
		}
		v.SetBool(s == "true")
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		n, err := strconv.ParseInt(s, 10, v.Type().Bits())
		if err != nil || n < 0 {
			return badNumber(s, int64(math.MaxInt64)>>(64-v.Type().Bits()))
		}
		v.SetInt(n)
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		n, err := strconv.ParseUint(s, 10, v.Type().Bits())
		if err != nil {
			return badNumber(s, uint64(math.MaxUint64)>>(64-v.Type().Bits()))
		}
		v.SetUint(n)
	case reflect.Float32, reflect.Float64:
		f, err := strconv.ParseFloat(s, 64)
		if err != nil || !(f >= 0) || math.IsInf(f, 0) {
			return fmt.Errorf("bad number %s; write a number of 0 or more, for example 0.2", clip(s))
		}
		v.SetFloat(f)
	default:
		return errors.New("cannot be set here")
	}
	return nil
}

// badNumber says what would do; limits that nobody meets are left out.
func badNumber[T int64 | uint64](s string, limit T) error {
	if limit > math.MaxInt32 {
		return fmt.Errorf("bad number %s; write a whole number of 0 or more", clip(s))
	}
	return fmt.Errorf("bad number %s; write a whole number from 0 to %d", clip(s), limit)
}

// describe says in a few words what stands there instead.
func describe(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "keys"
	case yaml.SequenceNode:
		return "a list"
	}
	if n.Value == "" {
		return "nothing"
	}
	return clip(n.Value)
}

// join adds a key to a path.
func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}

// clipKey leaves keys bare that are harmless to print.
func clipKey(s string) string {
	if len(s) > 60 || strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		return clip(s)
	}
	return s
}

// firstLine keeps every mistake on a line of its own.
func firstLine(err error) string {
	s, _, _ := strings.Cut(strings.TrimSpace(err.Error()), "\n")
	return s
}
