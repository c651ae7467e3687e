package checker

import (
	"crypto/x509"
	"fmt"
	"log/slog"
	"os"

	"golang.org/x/time/rate"

	"freeway/dial"
)

// target is a TargetCheck with its address taken apart.
type target struct {
	TargetCheck
	page
	need *need // what is known of it; kept while the configuration names it
}

// needOf returns what is known of a page, nothing when it is new.
func (s *settings) needOf(t TargetCheck, log *slog.Logger) *need {
	if s != nil {
		for _, old := range s.targets {
			if old.TargetCheck == t {
				return old.need
			}
		}
	}
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return &need{name: t.Name, log: log}
}

// prepare makes a configuration ready. Judges that the old settings have, nil
// for none, keep what is known of them.
func prepare(cfg Config, env Env, old *settings) (*settings, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	s := &settings{cfg: cfg.withDefaults(), roots: env.Roots}
	s.errands = make(chan struct{}, errandsFor(s.cfg.Concurrency))
	s.full = limits{connect: s.cfg.ConnectTimeout, answer: s.cfg.Timeout}
	s.dialer = env.Dialer.WithTimeouts(dial.Config{Connect: s.cfg.ConnectTimeout, Handshake: s.cfg.Timeout, Short: true})
	if s.cfg.JudgeCA != "" {
		roots, err := withAuthorities(env.Roots, s.cfg.JudgeCA)
		if err != nil {
			return nil, fmt.Errorf("judge_ca: %w", err)
		}
		s.roots = roots
	}
	if err := s.addJudges(old); err != nil {
		return nil, err
	}
	for i, t := range s.cfg.Targets {
		p, err := parsePage(t.URL)
		if err != nil {
			return nil, fmt.Errorf("targets[%d].url: %w", i, err)
		}
		s.targets = append(s.targets, target{t, p, old.needOf(t, env.Log)})
	}
	if s.cfg.Rate > 0 {
		// A tenth of a second's worth at once keeps the limit smooth and the timer cheap.
		s.connects = rate.NewLimiter(rate.Limit(s.cfg.Rate), max(1, int(s.cfg.Rate/10)))
	}
	return s, nil
}

// addJudges prepares the judges. Those of one operator share a limiter, also across configurations.
func (s *settings) addJudges(old *settings) error {
	limiters := map[string]*rate.Limiter{}
	if old != nil {
		for _, e := range old.judges {
			limiters[e.operator()] = e.limiter
		}
	}
	for i, j := range s.cfg.Judges {
		e, err := newExaminer(j, nil)
		if err != nil {
			return fmt.Errorf("judges[%d]: %w", i, err)
		}
		if limiters[e.operator()] == nil {
			limiters[e.operator()] = rate.NewLimiter(publicRate, publicRate)
		}
		e.limiter = limiters[e.operator()]
		s.judges = append(s.judges, old.same(e, s.cfg.JudgeCA))
	}
	return nil
}

// same returns the old examiner when nothing about it has changed, else e.
func (s *settings) same(e *examiner, ca string) *examiner {
	if s != nil && s.cfg.JudgeCA == ca {
		for _, o := range s.judges {
			if o.judge == e.judge && string(o.key) == string(e.key) {
				return o
			}
		}
	}
	return e
}

// withAuthorities returns base, nil for the system's, with those of a PEM file added.
func withAuthorities(base *x509.CertPool, path string) (*x509.CertPool, error) {
	pem, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	if base != nil {
		roots = base.Clone()
	} else if sys, err := x509.SystemCertPool(); err == nil {
		roots = sys
	}
	if !roots.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s: no certificate in PEM", path)
	}
	return roots, nil
}
