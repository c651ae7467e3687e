package scraper

import (
	_ "embed"
	"slices"
	"sync"

	"go.yaml.in/yaml/v4"
)

//go:embed builtin.yaml
var builtinYAML []byte

// catalogue parses the embedded file once.
var catalogue = sync.OnceValue(func() []Source {
	var doc struct {
		Sources []Source `yaml:"sources"`
	}
	if err := yaml.Load(builtinYAML, &doc, yaml.WithKnownFields()); err != nil {
		return nil // a test loads the embedded file
	}
	return doc.Sources
})

// Builtins returns the catalogue of public lists that comes with Freeway. The
// lists belong to others; sites that obfuscate their tables are not enabled.
// The caller must not change what the maps and slices of a Source hold.
func Builtins() []Source { return slices.Clone(catalogue()) }
