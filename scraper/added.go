package scraper

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
)

// addedKey is the document of the sources that Add keeps.
const addedKey = "scraper/added"

// maxAdded bounds how many sources can be added while running.
const maxAdded = 1000

// ErrKnown is returned for a name that a source has already.
var ErrKnown = errors.New("a source of that name is there already")

// Add keeps a new source, besides those of the configuration, and reads it
// soon; it survives restarts. It has a name and a url; headers and a body, which
// may hold keys, and files belong into the configuration. Errors: ErrKnown, or
// what is wrong with the definition.
func (s *Scraper) Add(src Source) error {
	if err := addable(src); err != nil {
		return err
	}
	s.refresh(context.Background())
	s.mu.Lock()
	if s.states[src.Name] != nil {
		s.mu.Unlock()
		return fmt.Errorf("%w: %q", ErrKnown, src.Name)
	}
	if len(s.added) >= maxAdded {
		s.mu.Unlock()
		return fmt.Errorf("%d sources have been added; put more into the configuration", maxAdded)
	}
	s.added = append(s.added, src)
	s.keepAdded()
	s.mu.Unlock()
	return s.again()
}

// Remove forgets a source that was added, and what only it has named. Errors:
// ErrUnknown for one that was not.
func (s *Scraper) Remove(name string) error {
	s.mu.Lock()
	before := len(s.added)
	s.added = slices.DeleteFunc(s.added, func(src Source) bool { return src.Name == name })
	gone := len(s.added) < before
	if gone {
		s.keepAdded()
	}
	s.mu.Unlock()
	if !gone {
		return fmt.Errorf("%w that was added: %q; one of the configuration can be switched off", ErrUnknown, clip(name, 64))
	}
	return s.again()
}

// addable reports what is wrong with a source for Add.
func addable(src Source) error {
	var errs []error
	if src.Name == "" {
		errs = append(errs, errors.New("name: no name"))
	}
	if src.URL == "" || src.File != "" {
		errs = append(errs, errors.New("url: a source that is added has a url; files belong into the configuration"))
	}
	if len(src.Headers) > 0 || !src.Body.IsZero() {
		errs = append(errs, errors.New("headers: they may hold keys and belong into the configuration, as a body does"))
	}
	return errors.Join(append(errs, src.Validate())...)
}

// again puts the configuration in force once more, with other added sources.
func (s *Scraper) again() error {
	s.applying.Lock()
	defer s.applying.Unlock()
	s.mu.Lock()
	cfg, sources := s.cfg, s.sources
	s.mu.Unlock()
	s.install(cfg, sources)
	s.withdraw(context.Background())
	s.poke()
	return nil
}

// keepAdded notes the sources that were added. mu is held.
func (s *Scraper) keepAdded() {
	if doc, err := json.Marshal(s.added); err == nil {
		s.env.Notebook.Note(addedKey, doc)
	}
}

// recallAdded returns what keepAdded noted; what is no good any more is left out.
func recallAdded(book Notebook) []Source {
	var list []Source
	if doc := book.Recall(addedKey); doc == nil || json.Unmarshal(doc, &list) != nil {
		return nil
	}
	return slices.DeleteFunc(list, func(src Source) bool { return addable(src) != nil })
}

// withAdded appends the sources that were added; those of the configuration
// come first and keep their names.
func withAdded(defs []definition, added []Source) []definition {
	for _, src := range added {
		if !slices.ContainsFunc(defs, func(d definition) bool { return d.Name == src.Name }) {
			defs = append(defs, definition{Source: src, on: src.On()})
		}
	}
	return defs
}
