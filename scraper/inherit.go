package scraper

import "cmp"

// inherit completes an entry of the operator's list that has the name of a
// built-in source and no address of its own: {name: x, enabled: true} switches
// one of the catalogue on, and what else it says replaces what is said there.
func inherit(src Source) Source {
	if src.URL != "" || src.File != "" || src.Name == "" {
		return src
	}
	for _, base := range Builtins() {
		if base.Name == src.Name {
			return base.with(src)
		}
	}
	return src
}

// with returns the source with what another says about it. Naming a source is
// wanting it: without a word on that it is on.
func (s Source) with(o Source) Source {
	s.As, s.Pool, s.Schedule, s.Via = cmp.Or(o.As, s.As), cmp.Or(o.Pool, s.Pool), cmp.Or(o.Schedule, s.Schedule), cmp.Or(o.Via, s.Via)
	s.Method, s.MinYield, s.Days, s.Pages = cmp.Or(o.Method, s.Method), cmp.Or(o.MinYield, s.MinYield), cmp.Or(o.Days, s.Days), cmp.Or(o.Pages, s.Pages)
	if !o.Body.IsZero() {
		s.Body = o.Body
	}
	if len(o.Protocols) > 0 {
		s.Protocols = o.Protocols
	}
	if len(o.Headers) > 0 {
		s.Headers = o.Headers
	}
	if len(o.HTML) > 0 {
		s.HTML = o.HTML
	}
	if len(o.JSON) > 0 {
		s.JSON = o.JSON
	}
	s.Enabled = o.Enabled
	return s
}
