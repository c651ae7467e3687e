package config

import (
	"encoding"
	"fmt"
	"net/url"
	"reflect"
	"sort"
	"strings"
	"time"

	"go.yaml.in/yaml/v4"

	"freeway/proxy"
)

const initHead = `Freeway's configuration. Every key is optional and shown with its default.
"freeway config check" reports mistakes, "freeway config show" prints what is in force.
A variable such as FREEWAY_GATEWAY_LISTEN beats the file, a flag such as --gateway.listen beats both.
Lengths of time are written like 300ms, 5s, 10m or 24h, sizes like 256KiB or 32MiB.
Relative names of files that are read begin in the folder of this file, store.path, audit.path and log.file in the working directory.`

// InitText returns a commented file with all defaults; loading it changes nothing.
func InitText() string {
	r := renderer{about: descriptionTable()}
	doc := r.section(reflect.ValueOf(Default()), "")
	first := doc.Content[0] // a comment there and one before the document would merge
	doc.HeadComment, first.HeadComment = comment(initHead)+"\n\n"+first.HeadComment, ""
	return airy(r.text(doc))
}

// airy puts an empty line before each section's comment.
func airy(text string) string {
	var b strings.Builder
	before := ""
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, "#") && before != "" && !strings.HasPrefix(before, "#") && strings.TrimSpace(before) != "" {
			b.WriteByte('\n')
		}
		b.WriteString(line)
		before = line
	}
	return b.String()
}

// Show prints the configuration as YAML with secrets masked.
func Show(c Config) string {
	r := renderer{}
	return r.text(r.section(reflect.ValueOf(c), ""))
}

// Dump returns what Show prints as maps, lists and plain values, for JSON.
func Dump(c Config) any {
	r := renderer{}
	var out any
	if err := r.section(reflect.ValueOf(c), "").Decode(&out); err != nil {
		return map[string]any{"error": err.Error()}
	}
	return out
}

// Value prints the value at one of Paths as a variable or flag would give it,
// secrets masked.
func Value(c Config, path string) string {
	v, ok := field(reflect.ValueOf(c), path)
	if !ok {
		return ""
	}
	r := renderer{}
	n := r.value(v, path)
	if n.Kind == yaml.ScalarNode {
		return n.Value
	}
	return strings.TrimSpace(r.text(n))
}

// Field returns the value at one of Paths, nil for another path.
func Field(c Config, path string) any {
	v, ok := field(reflect.ValueOf(c), path)
	if !ok {
		return nil
	}
	return v.Interface()
}

// renderer turns values into YAML nodes. about holds comments; nil: none.
type renderer struct{ about map[string]string }

// text prints a node.
func (r renderer) text(n *yaml.Node) string {
	b, err := yaml.Dump(n, yaml.WithIndent(2), yaml.WithLineWidth(-1))
	if err != nil {
		return "# " + err.Error() + "\n" // nodes made here always print; a test does
	}
	return string(b)
}

// section writes a struct key by key, nested sections as blocks.
func (r renderer) section(v reflect.Value, path string) *yaml.Node {
	n := &yaml.Node{Kind: yaml.MappingNode, Tag: "!!map"}
	for _, k := range keysOf(v.Type()) {
		full := join(path, k.name)
		key, f := plain(k.name), v.Field(k.index)
		if isSection(f.Type()) {
			if r.about != nil {
				key.HeadComment = comment(r.about[full])
			}
			n.Content = append(n.Content, key, r.section(f, full))
			continue
		}
		val := r.value(f, full)
		if r.about != nil {
			val.LineComment = comment(r.about[full])
		}
		n.Content = append(n.Content, key, val)
	}
	return n
}

// value writes one value in flow style.
func (r renderer) value(v reflect.Value, path string) *yaml.Node {
	if v.Kind() == reflect.Pointer {
		if v.IsNil() {
			return plain("null")
		}
		return r.value(v.Elem(), path)
	}
	switch x := v.Interface().(type) {
	case time.Duration:
		return plain(shortDuration(x))
	case proxy.Size:
		return plain(x.String())
	case proxy.Secret:
		return text(shownSecret(x))
	case yaml.Marshaler:
		return r.marshaled(x, path)
	case encoding.TextMarshaler:
		b, err := x.MarshalText()
		if err != nil {
			return text("")
		}
		return text(string(b))
	}
	switch v.Kind() {
	case reflect.Struct:
		return r.item(v, path)
	case reflect.Slice:
		n := &yaml.Node{Kind: yaml.SequenceNode, Tag: "!!seq", Style: yaml.FlowStyle}
		for i := range v.Len() {
			n.Content = append(n.Content, r.value(v.Index(i), path))
		}
		return n
	case reflect.Map:
		return r.dictionary(v, path)
	case reflect.String:
		return text(maskURL(v.String()))
	}
	return plain(fmt.Sprint(v.Interface()))
}

// item writes a struct within a list, without what is empty.
func (r renderer) item(v reflect.Value, path string) *yaml.Node {
	n := &yaml.Node{Kind: yaml.MappingNode, Tag: "!!map", Style: yaml.FlowStyle}
	for _, k := range keysOf(v.Type()) {
		if f := v.Field(k.index); !f.IsZero() {
			n.Content = append(n.Content, plain(k.name), r.value(f, join(path, k.name)))
		}
	}
	return n
}

// dictionary writes a map in the order of its keys. Values of headers may be
// keys to a service and are masked.
func (r renderer) dictionary(v reflect.Value, path string) *yaml.Node {
	n := &yaml.Node{Kind: yaml.MappingNode, Tag: "!!map", Style: yaml.FlowStyle}
	keys := v.MapKeys()
	sort.Slice(keys, func(i, j int) bool { return fmt.Sprint(keys[i]) < fmt.Sprint(keys[j]) })
	for _, k := range keys {
		val := r.value(v.MapIndex(k), path)
		if strings.HasSuffix(path, "headers") && val.Value != "" {
			val = text(shownHeader(val.Value))
		}
		n.Content = append(n.Content, text(fmt.Sprint(k)), val)
	}
	return n
}

// marshaled writes what a type's own writer makes of it.
func (r renderer) marshaled(m yaml.Marshaler, path string) *yaml.Node {
	x, err := m.MarshalYAML()
	if err != nil || x == nil {
		return plain("null")
	}
	if _, again := x.(yaml.Marshaler); again {
		return plain("null")
	}
	return r.value(reflect.ValueOf(x), path)
}

// plain is a scalar that needs no quotes.
func plain(s string) *yaml.Node { return &yaml.Node{Kind: yaml.ScalarNode, Value: s} }

// text is a scalar in quotes if YAML would read it as something else.
func text(s string) *yaml.Node { return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: s} }

// comment makes a comment of one or more lines.
func comment(s string) string {
	if s == "" {
		return ""
	}
	return "# " + strings.ReplaceAll(s, "\n", "\n# ")
}

// shortDuration drops the zero parts that time.Duration prints: 5m, not 5m0s.
func shortDuration(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = s[:len(s)-2]
	}
	if strings.HasSuffix(s, "h0m") {
		s = s[:len(s)-2]
	}
	return s
}

// maskURL hides the password and the query values of an address, which often
// hold keys. Other text stays as it is.
func maskURL(s string) string {
	u, err := url.Parse(s)
	if err != nil || u.Scheme == "" || u.Host == "" || u.User == nil && u.RawQuery == "" {
		return s
	}
	if _, has := u.User.Password(); has {
		u.User = url.UserPassword(u.User.Username(), "***")
	}
	q := u.Query()
	for k := range q {
		l := strings.ToLower(k)
		for _, word := range []string{"key", "token", "secret", "pass", "auth"} {
			if strings.Contains(l, word) {
				q.Set(k, "***")
				u.RawQuery = q.Encode()
			}
		}
	}
	masked := u.String()
	return strings.ReplaceAll(masked, "%2A%2A%2A", "***")
}
