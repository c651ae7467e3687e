package main

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"os"

	"github.com/spf13/cobra"

	"freeway/config"
)

// firstStart is said when there is no store yet.
const firstStart = `Free proxies are run by strangers: each sees which hosts you visit, and all that is not encrypted, and may change it.
Freeway finds many that tamper, not all: never send passwords or cookies over plain HTTP.
Whether you may scan these proxies and crawl your targets is between you, the law and their owners.`

// serveCommand makes "freeway serve".
func (a *app) serveCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Run scraper, checker, gateway and admin API, until SIGTERM",
		Long: `Read the lists, check what they name, and serve the gateway and the admin API until
SIGTERM. Running requests may then finish until gateway.drain has passed; a second
SIGTERM or Ctrl-C cuts them.

Every key of the configuration is a flag here. SIGHUP, or a change of the file, reads
the configuration again; a bad one is reported and the old one stays.

Under systemd it says when it is ready, reloads and stops, answers the watchdog, and
takes sockets that it is given (gateway, admin, tls, listener1, ...).`,
		Example: "  freeway serve\n  freeway serve --gateway.listen 127.0.0.1:3128 --store.path /var/lib/freeway/freeway.db\n  curl -x http://127.0.0.1:8080 https://example.com/",
		Args:    cobra.NoArgs,
	}
	given := configFlags(cmd.Flags())
	cmd.RunE = func(cmd *cobra.Command, _ []string) error { return a.serve(cmd.Context(), given()) }
	return cmd
}

// loadAgain reads a configuration and looks at the files that it names, while
// an older one is in force.
func loadAgain(from config.LoadOptions, secrets *heldSecrets) (config.Config, error) {
	cfg, err := config.Load(from)
	if err == nil {
		err = withoutCerts(secrets.read(&cfg, from))
	}
	return cfg, err
}

// surroundings are what the service manager gives to the process.
func surroundings() (*inherited, manager, error) {
	sockets, err := inheritSockets()
	if err != nil {
		return nil, manager{}, err
	}
	m, err := serviceManager()
	if err != nil {
		return nil, m, errors.Join(err, sockets.close())
	}
	return sockets, m, nil
}

// loadUnder is loadAgain with the addresses of inherited sockets.
func loadUnder(from config.LoadOptions, secrets *heldSecrets, sockets *inherited) (config.Config, error) {
	cfg, err := loadAgain(from, secrets)
	if err != nil {
		return cfg, err
	}
	return sockets.override(cfg)
}

// serve runs the server until ctx ends.
func (a *app) serve(ctx context.Context, flags []config.Flag) error {
	from := a.loadOptions(flags)
	since := config.Fingerprint(from.Path) // before it is read: no change is missed
	cfg, err := a.load(flags)
	secrets := &heldSecrets{Secrets: config.NewSecrets(a.lookup)}
	if err == nil {
		err = secrets.read(&cfg, from)
	}
	if err != nil {
		return err
	}
	sockets, manager, err := surroundings()
	if err != nil {
		return err
	}
	if cfg, err = sockets.override(cfg); err != nil {
		return errors.Join(err, sockets.close())
	}
	level := new(slog.LevelVar)
	out, err := a.openLog(cfg.Log, level)
	if err != nil {
		return errors.Join(err, sockets.close())
	}
	defer out.Close(logFlush) //nolint:errcheck // there is nobody left to tell
	log := out.Logger()
	_, err = os.Stat(cfg.Store.Path)
	first := errors.Is(err, fs.ErrNotExist)
	if n := limitMemory(cgroupMemory); n > 0 {
		log.Debug("memory is limited", "bytes", n)
	}
	for _, name := range openSecrets(cfg, from.Path, secrets.Files()) {
		log.Warn("everybody on this machine can read or change a file with secrets; chmod 600 it", "file", name)
	}
	s, err := openServer(ctx, cfg, serverOptions{log: log, level: level, logs: out, control: a.control(), from: from, watch: from.Path, since: since,
		manager: manager, sockets: sockets, load: func() (config.Config, error) { return loadUnder(from, secrets, sockets) }, secrets: secrets})
	if err != nil {
		return lockedRemedy(err, cfg, remedyServe)
	}
	if first {
		a.note("%s", firstStart)
	}
	log.Info("serving", "version", versionText(), "gateway", s.gateway.Addr().String(), "admin", s.admin.Addr().String(),
		"store", cfg.Store.Path, "config", from.Path)
	err = s.run(ctx)
	if err = errors.Join(err, s.close()); err == nil {
		log.Info("stopped")
	}
	return err
}
