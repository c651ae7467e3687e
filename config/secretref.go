package config

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"freeway/proxy"
)

// secretRef is a place in a configuration where a reference stands, or stood.
type secretRef struct {
	path string
	ref  string            // file:NAME, env:NAME or literal:TEXT
	set  func(text string) // puts in place what it stands for
	move func(ref string)  // changes the reference; nil: it is another key's
}

// secrets finds all references.
func (c *Config) secrets() []secretRef {
	var out []secretRef
	findRefs(reflect.ValueOf(c).Elem(), "", &out)
	return out
}

var (
	secretType  = reflect.TypeFor[proxy.Secret]()
	headersType = reflect.TypeFor[map[string]string]()
)

// findRefs walks through sections and lists.
func findRefs(v reflect.Value, path string, out *[]secretRef) {
	switch {
	case v.Type() == secretType:
		secretAt(v.Addr().Interface().(*proxy.Secret), path, out)
	case v.Kind() == reflect.Pointer && !v.IsNil():
		if v.Type().Elem() == secretType {
			secretAt(v.Interface().(*proxy.Secret), path, out)
		}
	case v.Kind() == reflect.Slice && v.Type().Elem().Kind() == reflect.Struct:
		for i := range v.Len() {
			findRefs(v.Index(i), fmt.Sprintf("%s[%d]", path, i), out)
		}
	case v.Type() == headersType && strings.HasSuffix(path, "headers"):
		headersAt(v, path, out)
	case v.Kind() == reflect.Struct:
		keys := keysOf(v.Type())
		for _, k := range keys {
			findRefs(v.Field(k.index), join(path, k.name), out)
		}
		besideAt(v, keys, path, out)
	}
}

// eachSecret visits all secrets outside of maps.
func eachSecret(v reflect.Value, visit func(proxy.Secret)) {
	switch {
	case v.Type() == secretType:
		visit(v.Interface().(proxy.Secret))
	case v.Kind() == reflect.Pointer && !v.IsNil():
		eachSecret(v.Elem(), visit)
	case v.Kind() == reflect.Slice && v.Type().Elem().Kind() == reflect.Struct:
		for i := range v.Len() {
			eachSecret(v.Index(i), visit)
		}
	case v.Kind() == reflect.Struct:
		for _, k := range keysOf(v.Type()) {
			eachSecret(v.Field(k.index), visit)
		}
	}
}

// secretAt notes a secret that is given by reference.
func secretAt(s *proxy.Secret, path string, out *[]secretRef) {
	ref := s.Reference()
	if ref == "" {
		ref = s.Reveal()
		if refOf(ref) == "" && !strings.HasPrefix(ref, literalPrefix) {
			return
		}
	}
	if ref == besideFile || s.Reference() == literalPrefix {
		return
	}
	shown := ref
	if strings.HasPrefix(ref, literalPrefix) {
		shown = literalPrefix
	}
	*out = append(*out, secretRef{path: path, ref: ref, set: func(text string) { *s = proxy.NewReferred(text, shown) },
		move: func(ref string) { *s = proxy.NewSecret(ref) }})
}

// besideAt notes secrets whose files have keys of their own: token and token_file.
func besideAt(v reflect.Value, keys []key, path string, out *[]secretRef) {
	for _, k := range keys {
		name, ok := strings.CutSuffix(k.name, "_file")
		if !ok || v.Field(k.index).Kind() != reflect.String || v.Field(k.index).String() == "" {
			continue
		}
		for _, target := range keys {
			if f := v.Field(target.index); target.name == name && (f.Type() == secretType || f.Type() == reflect.PointerTo(secretType)) {
				*out = append(*out, secretRef{path: join(path, k.name), ref: fileRefPrefix + v.Field(k.index).String(), set: func(text string) { putSecret(f, proxy.NewReferred(text, besideFile)) }})
			}
		}
	}
}

// putSecret sets a secret or a pointer to one.
func putSecret(f reflect.Value, s proxy.Secret) {
	if f.Type() == secretType {
		f.Set(reflect.ValueOf(s))
		return
	}
	f.Set(reflect.ValueOf(&s))
}

// headersAt notes values of headers whose last word is a reference.
func headersAt(v reflect.Value, path string, out *[]secretRef) {
	headers, _ := v.Interface().(map[string]string)
	for _, name := range slices.Sorted(maps.Keys(headers)) {
		head, ref := lastWord(headers[name])
		if refOf(ref) == "" {
			continue
		}
		put := func(text string) {
			next := maps.Clone(v.Interface().(map[string]string))
			next[name] = head + text
			v.Set(reflect.ValueOf(next))
		}
		*out = append(*out, secretRef{path: join(path, name), ref: ref, set: put, move: put})
	}
}

// lastWord separates "Bearer file:/run/secrets/x" before the reference, whose
// name may have spaces.
func lastWord(value string) (head, ref string) {
	if scheme, rest, ok := strings.Cut(value, " "); ok && refOf(value) == "" {
		return scheme + " ", rest
	}
	return "", value
}

// isResolved reports whether the secret at a path, or that whose file the path
// names, has been read.
func isResolved(c *Config, path string) bool {
	name := strings.TrimSuffix(path, "_file")
	s, ok := secretOf(reflect.ValueOf(c).Elem(), name)
	return ok && s.Reference() != ""
}

// secretOf finds the secret at a path, which may go through lists.
func secretOf(v reflect.Value, path string) (proxy.Secret, bool) {
	for part := range strings.SplitSeq(path, ".") {
		name, index, listed := strings.Cut(part, "[")
		if v.Kind() != reflect.Struct {
			return proxy.Secret{}, false
		}
		i := slices.IndexFunc(keysOf(v.Type()), func(k key) bool { return k.name == name })
		if i < 0 {
			return proxy.Secret{}, false
		}
		v = v.Field(keysOf(v.Type())[i].index)
		if n := 0; listed {
			if _, err := fmt.Sscanf(index, "%d]", &n); err != nil || v.Kind() != reflect.Slice || n >= v.Len() {
				return proxy.Secret{}, false
			}
			v = v.Index(n)
		}
	}
	switch s := v.Interface().(type) {
	case proxy.Secret:
		return s, true
	case *proxy.Secret:
		if s != nil {
			return *s, true
		}
	}
	return proxy.Secret{}, false
}
