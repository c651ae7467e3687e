package main

import (
	"context"
	"fmt"

	"freeway/config"
	"freeway/scraper"
	"freeway/web"
)

// openDashboard makes the dashboard. It outlives reloads, as it holds what the
// charts show.
func (s *server) openDashboard() (err error) {
	env := web.Env{Version: versionText(), Gateway: s.gateway.Addr().String(), Demo: s.opt.demo, Login: len(s.tokens) > 0, Pool: s.pool, Scraper: s.scraper,
		Pools:    func() []string { return s.current().Gateway.Pools },
		Settings: s.settings, Concerns: s.concerns, AddSource: func(_ context.Context, src scraper.Source) error { return s.scraper.Add(src) }}
	if s.opt.load != nil {
		env.Reload = func(context.Context) error { return s.reload() }
		env.Reloaded = func() web.ReloadResult {
			if last := s.last.Load(); last != nil {
				return *last
			}
			return web.ReloadResult{}
		}
	}
	s.web, err = web.Open(env)
	return err
}

// settings lists the configuration in force, for the dashboard. A demo makes
// its own and loads none: what differs from the defaults comes from it.
func (s *server) settings() []web.Setting {
	preset := config.Default()
	var out []web.Setting
	for _, x := range config.Settings(s.current(), s.opt.from) {
		if s.opt.demo && x.From == "default" && x.Value != config.Value(preset, x.Path) {
			x.From = "the demo"
		}
		out = append(out, web.Setting{Path: x.Path, Value: x.Value, From: x.From, About: x.About})
	}
	return out
}

// concerns are what the checker has to say that needs attention.
func (s *server) concerns() []string {
	var out []string
	st := s.checker.Status()
	if st.Frozen {
		out = append(out, "Nothing is checked: "+st.Reason+".")
	}
	if st.Doubt != "" {
		out = append(out, "Failed checks do not count at present: "+st.Doubt+".")
	}
	for _, j := range st.Judges {
		if !j.Up && j.Error != "" {
			out = append(out, fmt.Sprintf("Judge %s does not answer as it should: %s", j.URL, j.Error))
		}
	}
	return out
}
