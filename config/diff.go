package config

import "reflect"

// Changed lists the keys, each one of Paths, whose values differ between two
// configurations, in the order of the sections. Values are not told: they may be
// secrets.
func Changed(a, b Config) []string {
	var out []string
	for _, path := range Paths() {
		if !reflect.DeepEqual(Field(a, path), Field(b, path)) {
			out = append(out, path)
		}
	}
	return out
}

// Keep gives a key of to the value that it has in from; a path that is none of
// Paths changes nothing.
func Keep(to *Config, from Config, path string) {
	dst, ok := field(reflect.ValueOf(to).Elem(), path)
	if src, found := field(reflect.ValueOf(from), path); ok && found {
		dst.Set(src)
	}
}
