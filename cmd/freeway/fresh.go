package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"freeway/config"
	"freeway/internal/certs"
)

// fresh keeps the certificates of the listeners.
type fresh struct {
	gateway, admin *certs.Keeper
	adminTLS       atomic.Pointer[tls.Config] // holds nil: the admin listener is plain
}

// openCerts reads the certificates. Listeners without any have empty keepers.
func (s *server) openCerts(context.Context) (err error) {
	env := certs.Env{Listener: "gateway", Log: s.log, Metrics: certs.NewMetrics(s.registry), Control: s.opt.control}
	if s.fresh.gateway, err = certs.Open(s.cfg.Gateway.TLS.Certs(), env); err != nil {
		return fmt.Errorf("gateway.tls: %w", err)
	}
	env.Listener = "admin"
	if s.fresh.admin, err = certs.Open(s.cfg.Admin.TLS.Certs(), env); err != nil {
		return fmt.Errorf("admin.tls: %w", err)
	}
	s.secureAdmin(s.cfg)
	return nil
}

// applyCerts serves what a configuration names, both listeners or none.
func (s *server) applyCerts(c config.Config) error {
	if err := s.fresh.gateway.Apply(c.Gateway.TLS.Certs()); err != nil {
		return fmt.Errorf("gateway.tls: %w", err)
	}
	if err := s.fresh.admin.Apply(c.Admin.TLS.Certs()); err != nil {
		return errors.Join(fmt.Errorf("admin.tls: %w", err), s.fresh.gateway.Apply(s.cfg.Gateway.TLS.Certs()))
	}
	s.secureAdmin(c)
	return nil
}

// secureAdmin makes new connections to the admin listener plain, or inside TLS.
func (s *server) secureAdmin(c config.Config) {
	if !c.Admin.TLS.On() {
		s.fresh.adminTLS.Store(nil)
		return
	}
	s.fresh.adminTLS.Store(s.fresh.admin.Server("http/1.1"))
}

// adminListener gives each connection what is configured when it comes.
type adminListener struct {
	net.Listener
	conf *atomic.Pointer[tls.Config]
}

// Accept implements net.Listener. The handshake is the server's matter.
func (l adminListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if conf := l.conf.Load(); err == nil && conf != nil {
		return tls.Server(c, conf), nil
	}
	return c, err
}

// insideTLS is how the door of the admin API serves.
func (s *server) insideTLS(l net.Listener) net.Listener { return adminListener{l, &s.fresh.adminTLS} }

// followed are the files besides the configuration whose change matters.
func (s *server) followed() []string {
	files := slices.Concat(s.fresh.gateway.Files(), s.fresh.admin.Files())
	if s.opt.secrets != nil {
		files = append(files, s.opt.secrets.Files()...)
	}
	return files
}

// moved takes up certificates and secrets that have changed.
func (s *server) moved(names []string) {
	s.fresh.gateway.Check()
	s.fresh.admin.Check()
	if s.opt.secrets == nil || !slices.ContainsFunc(s.opt.secrets.Files(), func(f string) bool { return slices.Contains(names, f) }) {
		return
	}
	s.log.Info("a file with a secret has changed")
	s.reload() //nolint:errcheck // it has logged the error
}

// heldSecrets remembers secrets and which of them could not be read the last time.
type heldSecrets struct {
	*config.Secrets

	mu    sync.Mutex // protects stale
	stale []config.Stale
}

// read puts the secrets in place and looks at the files that c names.
func (h *heldSecrets) read(c *config.Config, from config.LoadOptions) error {
	stale, err := h.Resolve(c, from)
	if err != nil {
		if all := config.CheckFiles(*c, from); all != nil {
			return all
		}
		return err
	}
	h.mu.Lock()
	h.stale = stale
	h.mu.Unlock()
	return config.CheckFiles(*c, from)
}

// noteSecrets says which secrets are old because they could not be read.
func (s *server) noteSecrets() {
	if s.opt.secrets == nil {
		return
	}
	s.opt.secrets.mu.Lock()
	defer s.opt.secrets.mu.Unlock()
	s.metrics.staleSecrets.Set(float64(len(s.opt.secrets.stale)))
	for _, x := range s.opt.secrets.stale {
		s.log.Error("a secret cannot be read; the old value stays", "key", x.Path, "err", x.Err)
	}
}

// certPaths begin the keys of certificates.
var certPaths = []string{"gateway.tls.", "admin.tls."}

// withoutCerts drops what is said of certificates: while the server runs those
// that were good stay, and a new one that is not is refused when it is applied.
func withoutCerts(err error) error {
	var many config.Errors
	if !errors.As(err, &many) {
		return err
	}
	left := slices.DeleteFunc(slices.Clone(many), func(e config.Error) bool {
		return slices.ContainsFunc(certPaths, func(p string) bool { return strings.HasPrefix(e.Path, p) })
	})
	if len(left) == 0 {
		return nil
	}
	return left
}
