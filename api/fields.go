package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
)

// selection is what ?fields= asks for, in its order; nil: everything.
type selection []field

// field is one field of Proxy.
type field struct {
	name  string
	index int
}

// fieldNames are the JSON names of Proxy's fields, in order.
func fieldNames() []string {
	t := reflect.TypeFor[Proxy]()
	out := make([]string, t.NumField())
	for i := range out {
		out[i], _, _ = strings.Cut(t.Field(i).Tag.Get("json"), ",")
	}
	return out
}

// parseFields reads ?fields=. The error names what there is.
func parseFields(s string) (selection, error) {
	if s == "" {
		return nil, nil
	}
	names := fieldNames()
	var out selection
	for name := range strings.SplitSeq(strings.ToLower(s), ",") {
		name = strings.TrimSpace(name)
		i := slices.Index(names, name)
		switch {
		case i < 0:
			return nil, badInput(fmt.Errorf("fields: there is no %q; use %s", clip(name), strings.Join(names, ", ")))
		case slices.ContainsFunc(out, func(f field) bool { return f.index == i }):
			return nil, badInput(fmt.Errorf("fields: %s is named twice", name))
		}
		out = append(out, field{name, i})
	}
	return out, nil
}

// of returns what is to be shown of a proxy: itself, or an object of the
// fields that were asked for.
func (s selection) of(p Proxy) any {
	if s == nil {
		return p
	}
	return partial{s, p}
}

// partial is some fields of a proxy; it marshals to an object.
type partial struct {
	fields selection
	proxy  Proxy
}

// MarshalJSON writes the fields in the order in which they were asked for.
func (p partial) MarshalJSON() ([]byte, error) {
	v := reflect.ValueOf(p.proxy)
	var b bytes.Buffer
	sep := byte('{')
	for _, f := range p.fields {
		text, err := json.Marshal(v.Field(f.index).Interface())
		if err != nil {
			return nil, err
		}
		b.WriteByte(sep)
		fmt.Fprintf(&b, "%q:", f.name)
		b.Write(text)
		sep = ','
	}
	b.WriteByte('}')
	return b.Bytes(), nil
}

// columns are the columns of csv to be shown, and where they are in Row; a
// field that has several columns shows all of them.
func (s selection) columns() (names []string, at []int) {
	for i, c := range Columns() {
		if s == nil {
			names, at = append(names, c), append(at, i)
		}
	}
	for _, f := range s {
		for i, c := range Columns() {
			if c == f.name || strings.HasPrefix(c, f.name+"_") && slices.Contains([]string{"checks", "uses", "error"}, f.name) {
				names, at = append(names, c), append(at, i)
			}
		}
	}
	return names, at
}

// checkFields refuses fields where the format has none of its own.
func checkFields(format string, s selection) error {
	if s != nil && format != "json" && format != "ndjson" && format != "csv" {
		return badInput(errors.New("fields: this format has no fields to choose; use json, ndjson or csv"))
	}
	return nil
}
