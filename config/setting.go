package config

import (
	"reflect"
	"strings"
)

// Setting is one key of a configuration, for people.
type Setting struct {
	Path  string // one of Paths
	Value string // secrets masked
	From  string // "default", or file:line, the variable or the flag
	About string // what the key means
}

// Settings lists every key of a configuration that Load returned, in the order
// of the sections, with where its value comes from. opt is that of Load; when
// the file cannot be read again, what came from it is "unknown".
func Settings(c Config, opt LoadOptions) []Setting {
	d := decoderOf(opt)
	text, err := readFile(opt)
	if err == nil {
		again := Default()
		d.overlay(opt, text, reflect.ValueOf(&again).Elem())
	}
	preset := Default()
	var out []Setting
	for _, path := range Paths() {
		s := Setting{Path: path, Value: Value(c, path), From: d.origin(path), About: Describe(path)}
		if err != nil && s.From == "default" && s.Value != Value(preset, path) {
			s.From = "unknown"
		}
		out = append(out, s)
	}
	return out
}

// origin says where the value of a key comes from: where it was set, or the
// first that was set in it.
func (d *decoder) origin(path string) string {
	if place, ok := d.known[path]; ok {
		return place
	}
	first := ""
	for p, place := range d.known {
		if strings.HasPrefix(p, path+".") || strings.HasPrefix(p, path+"[") {
			if first == "" || d.lines[place] < d.lines[first] {
				first = place
			}
		}
	}
	if first == "" {
		return "default"
	}
	return first
}
