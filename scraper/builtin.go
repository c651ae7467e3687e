package scraper

import (
	_ "embed"

	"go.yaml.in/yaml/v4"
)

//go:embed builtin.yaml
var builtinYAML []byte

// Builtins returns the catalogue of public lists that comes with Freeway. The
// lists belong to others; sites that obfuscate their tables are not enabled.
func Builtins() []Source {
	var doc struct {
		Sources []Source `yaml:"sources"`
	}
	if err := yaml.Load(builtinYAML, &doc, yaml.WithKnownFields()); err != nil {
		return nil // a test loads the embedded file
	}
	return doc.Sources
}
