package main

import (
	"errors"
	"time"

	"freeway/config"
)

// checkCertificates is the doctor's look at the certificates of listeners, as far
// as their files are in order.
func checkCertificates(cfg config.Config, now time.Time) []finding {
	var out []finding
	for _, f := range config.CheckCertificates(cfg, now) {
		out = append(out, finding{what: "certificates", says: f.Path + ": " + f.Says, bad: f.Bad})
	}
	if len(out) == 0 && (cfg.Gateway.TLS.Cert != "" || cfg.Admin.TLS.Cert != "") {
		out = append(out, finding{what: "certificates", says: "valid, and for the names under which the listeners are reached, as far as the configuration tells"})
	}
	return out
}

// reportCertificates is the same for "config check": what keeps clients away is an
// error, the rest a note.
func (a *app) reportCertificates(cfg config.Config, now time.Time) error {
	var errs []error
	for _, f := range config.CheckCertificates(cfg, now) {
		if f.Bad {
			errs = append(errs, errors.New(f.Path+": "+f.Says))
			continue
		}
		a.note("%s: %s", f.Path, f.Says)
	}
	return errors.Join(errs...)
}
