package config

import (
	"fmt"
	"maps"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"

	"freeway/proxy"
)

// What secrets may begin with instead of being given as they are. They hold for
// every key that is a secret, and for the last word of a header's value.
const (
	fileRefPrefix = "file:"    // the contents of a file, without the newline at the end
	envRefPrefix  = "env:"     // a variable of the environment
	literalPrefix = "literal:" // what follows is the secret, whatever it looks like
)

// besideFile is the reference of a secret that a key such as token_file names.
const besideFile = "*_file"

// Secrets reads what references in a configuration stand for. It remembers
// what was read, so that a file that is broken for a while changes nothing. Its
// methods are safe for concurrent use. Use NewSecrets.
type Secrets struct {
	lookup func(string) (string, bool)

	mu    sync.Mutex        // protects known
	known map[string]string // reference -> the last good text
}

// NewSecrets takes the environment; nil: there is none.
func NewSecrets(lookup func(string) (string, bool)) *Secrets {
	if lookup == nil {
		lookup = func(string) (string, bool) { return "", false }
	}
	return &Secrets{lookup: lookup, known: map[string]string{}}
}

// Stale is a secret that cannot be read now and was before: the old value holds.
type Stale struct {
	Path string // the key
	Err  error  // names the file or variable, not what is in it
}

// Resolve puts in place of every reference in c, which Load returned, what it
// stands for, and reads the files of keys such as token_file. What cannot be
// read is an error of type Errors, and c is then of no use, unless it could be
// read before. The maps of c are replaced, not changed. opt is that of Load.
func (s *Secrets) Resolve(c *Config, opt LoadOptions) ([]Stale, error) {
	var stale []Stale
	var errs Errors
	s.mu.Lock()
	defer s.mu.Unlock()
	kept := map[string]string{}
	for _, r := range c.secrets() {
		text, err := readRef(r.ref, s.lookup)
		if old, known := s.known[r.ref]; err != nil && known {
			stale = append(stale, Stale{r.path, err})
			text, err = old, nil
		}
		if err != nil {
			errs.add("", r.path, "%s", firstLine(err))
			continue
		}
		kept[r.ref] = text
		r.set(text)
	}
	if len(errs) > 0 {
		return nil, located(errs, opt)
	}
	s.known = kept
	return stale, nil
}

// Files lists the files that the latest Resolve has read, or would have.
func (s *Secrets) Files() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []string
	for _, ref := range slices.Sorted(maps.Keys(s.known)) {
		if name, ok := strings.CutPrefix(ref, fileRefPrefix); ok {
			out = append(out, name)
		}
	}
	return out
}

// SecretFiles lists the files that references of c name and those of keys such
// as token_file, each once. c is not resolved.
func SecretFiles(c Config) []string {
	var out []string
	for _, r := range c.secrets() {
		if name, ok := strings.CutPrefix(r.ref, fileRefPrefix); ok && !slices.Contains(out, name) {
			out = append(out, name)
		}
	}
	return out
}

// Inline reports whether a secret of c is given as it is, not by reference.
func Inline(c Config) bool {
	found := false
	eachSecret(reflect.ValueOf(&c).Elem(), func(s proxy.Secret) {
		from := s.Reference()
		found = found || !s.IsZero() && (from == literalPrefix || from == "" && refOf(s.Reveal()) == "")
	})
	return found
}

// Reveal reads one secret of a configuration that was not resolved.
func Reveal(s proxy.Secret, lookup func(string) (string, bool)) (string, error) {
	if s.Reference() != "" || refOf(s.Reveal()) == "" {
		return strings.TrimPrefix(s.Reveal(), literalPrefix), nil
	}
	return readRef(s.Reveal(), lookup)
}

// refOf returns text when it is a reference, else "".
func refOf(text string) string {
	for _, p := range []string{fileRefPrefix, envRefPrefix} {
		if strings.HasPrefix(text, p) {
			return text
		}
	}
	return ""
}

// readRef reads what a reference stands for. Errors never quote it.
func readRef(ref string, lookup func(string) (string, bool)) (string, error) {
	if name, ok := strings.CutPrefix(ref, envRefPrefix); ok {
		text, set := "", false
		if lookup != nil {
			text, set = lookup(name)
		}
		if !set || text == "" {
			return "", fmt.Errorf("the variable %s is not set, or empty", clip(name))
		}
		return text, nil
	}
	if text, ok := strings.CutPrefix(ref, literalPrefix); ok {
		return text, nil
	}
	name := strings.TrimPrefix(ref, fileRefPrefix)
	text, err := contents(name)
	if err != nil {
		return "", err
	}
	secret := strings.TrimRight(string(text), "\r\n")
	if strings.TrimSpace(secret) == "" {
		return "", fmt.Errorf("%s is empty", clip(name))
	}
	return secret, nil
}

// anchorSecrets makes relative names of files in references begin in the folder
// of the configuration file where that is what names them.
func (d *decoder) anchorSecrets(c *Config, file string) {
	for _, r := range c.secrets() {
		name, ok := strings.CutPrefix(r.ref, fileRefPrefix)
		if !ok || r.move == nil || filepath.IsAbs(name) {
			continue
		}
		if _, line := d.locate(r.path); line > 0 {
			r.move(fileRefPrefix + filepath.Join(filepath.Dir(file), name))
		}
	}
}

// checkSecrets reads every reference that is not resolved, apart from those
// whose files have keys of their own.
func checkSecrets(c *Config, opt LoadOptions, errs *Errors) {
	for _, r := range c.secrets() {
		if r.move == nil || isResolved(c, r.path) {
			continue
		}
		if _, err := readRef(r.ref, opt.Lookup); err != nil {
			errs.add("", r.path, "%s", firstLine(err))
		}
	}
}

// located says where each mistake was made.
func located(errs Errors, opt LoadOptions) error {
	if len(errs) == 0 {
		return nil
	}
	d := decoderOf(opt)
	if text, err := readFile(opt); err == nil {
		again := Default()
		d.overlay(opt, text, reflect.ValueOf(&again).Elem())
	}
	for i := range errs {
		errs[i].Where, errs[i].line = d.locate(errs[i].Path)
	}
	return errs.err()
}

// shownSecret is what people may see of a secret: its reference, or stars.
func shownSecret(s proxy.Secret) string {
	switch ref := s.Reference(); {
	case ref == besideFile:
		return ""
	case ref != "" && ref != literalPrefix:
		return ref
	case ref == "" && refOf(s.Reveal()) != "":
		return s.Reveal()
	}
	return s.String()
}

// shownHeader is shownSecret for the value of a header.
func shownHeader(value string) string {
	if _, ref := lastWord(value); refOf(ref) != "" {
		return value
	}
	return "***"
}
