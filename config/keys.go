package config

import (
	"encoding"
	"reflect"
	"strings"
	"time"

	"go.yaml.in/yaml/v4"
)

// key is one field of a section, as YAML names it.
type key struct {
	name  string
	index int
}

// keysOf lists the keys of a struct in the order of its fields. Fields with
// the tag "-" and unexported ones are not keys.
func keysOf(t reflect.Type) []key {
	var keys []key
	for i := range t.NumField() {
		f := t.Field(i)
		name, _, _ := strings.Cut(f.Tag.Get("yaml"), ",")
		if !f.IsExported() || name == "-" {
			continue
		}
		if name == "" {
			name = strings.ToLower(f.Name)
		}
		keys = append(keys, key{name, i})
	}
	return keys
}

// keyNames are the names of keysOf.
func keyNames(t reflect.Type) []string {
	var names []string
	for _, k := range keysOf(t) {
		names = append(names, k.name)
	}
	return names
}

var (
	durationType  = reflect.TypeFor[time.Duration]()
	textType      = reflect.TypeFor[encoding.TextUnmarshaler]()
	yamlType      = reflect.TypeFor[yaml.Unmarshaler]()
	configType    = reflect.TypeFor[Config]()
	legacyYAMLTyp = reflect.TypeFor[legacyUnmarshaler]()
)

// legacyUnmarshaler is the form of yaml.Unmarshaler that needs no import of yaml.
type legacyUnmarshaler interface {
	UnmarshalYAML(unmarshal func(any) error) error
}

// isSection reports whether t is a mapping of keys rather than a value.
func isSection(t reflect.Type) bool {
	return t.Kind() == reflect.Struct && !reads(t, textType) && !reads(t, yamlType) && !reads(t, legacyYAMLTyp)
}

// reads reports whether values of t can read themselves.
func reads(t, unmarshaler reflect.Type) bool { return reflect.PointerTo(t).Implements(unmarshaler) }

// leaves returns the paths of all values outside lists: those that a variable
// or a flag can set.
func leaves(t reflect.Type, prefix string) []string {
	var out []string
	for _, k := range keysOf(t) {
		ft := t.Field(k.index).Type
		if isSection(ft) {
			out = append(out, leaves(ft, prefix+k.name+".")...)
		} else {
			out = append(out, prefix+k.name)
		}
	}
	return out
}

// Paths returns every key that a variable or a flag can set, for example
// "gateway.retry.attempts", in the order of the sections.
func Paths() []string { return leaves(configType, "") }

// field finds the value at a path of Paths.
func field(root reflect.Value, path string) (reflect.Value, bool) {
	v := root
	for part := range strings.SplitSeq(path, ".") {
		if v.Kind() != reflect.Struct {
			return v, false
		}
		found := false
		for _, k := range keysOf(v.Type()) {
			if k.name == part {
				v, found = v.Field(k.index), true
				break
			}
		}
		if !found {
			return v, false
		}
	}
	return v, true
}
