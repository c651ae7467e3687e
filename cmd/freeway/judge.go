package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"freeway/config"
	"freeway/internal/judge"
)

type judgeFlags struct {
	listen, tlsListen, cert, key, keyFile string
	closed                                []uint
}

// judgeCommand makes "freeway judge".
func (a *app) judgeCommand() *cobra.Command {
	var f judgeFlags
	cmd := &cobra.Command{
		Use:   "judge",
		Short: "Serve a judge: the page that tells a check what a web server saw",
		Long: `Serve a judge for your own checker. Put it on a host with a public address and name
it in checker.judges; over both http and https, so that forwarding and tunnels are
tested. With --key-file its answers are signed, and a proxy cannot invent them;
give the same file to the checker as key_file. It also serves canary pages, which
show what proxies do to content. --closed-port promises that nothing listens at a
port of this host: checkers try it about once a minute, and if it answers them,
something near them answers for everybody.`,
		Example: "  freeway judge --listen :80\n  freeway judge --listen :80 --tls-listen :443 --cert cert.pem --key key.pem --key-file judge.key",
		Args:    cobra.NoArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return a.judge(cmd.Context(), f) },
	}
	flags := cmd.Flags()
	flags.StringVar(&f.listen, "listen", "127.0.0.1:8090", "`ADDRESS` for http, empty: none")
	flags.StringVar(&f.tlsListen, "tls-listen", "", "`ADDRESS` for https")
	flags.StringVar(&f.cert, "cert", "", "PEM `FILE` with the certificate, leaf first")
	flags.StringVar(&f.key, "key", "", "PEM `FILE` with the certificate's key")
	flags.UintSliceVar(&f.closed, "closed-port", nil, "`PORT` of this host that is closed and stays so; repeatable")
	flags.StringVar(&f.keyFile, "key-file", "", "`FILE` with the key that signs answers, at least 16 bytes")
	return cmd
}

// judge checks the flags and serves until ctx ends.
func (a *app) judge(ctx context.Context, f judgeFlags) error {
	if f.listen == "" && f.tlsListen == "" {
		return usagef("--listen and --tls-listen are both empty")
	}
	if (f.tlsListen == "") != (f.cert == "" && f.key == "") || (f.cert == "") != (f.key == "") {
		return usagef("--tls-listen, --cert and --key belong together")
	}
	cfg, err := a.load(nil)
	if err != nil {
		return err
	}
	var opt judge.Options
	if f.keyFile != "" {
		if opt.Key, err = readKey(f.keyFile); err != nil {
			return err
		}
	}
	if len(f.closed) > 16 {
		return usagef("--closed-port: %d ports; 16 are enough", len(f.closed))
	}
	for _, port := range f.closed {
		if port < 1 || port > 65535 {
			return usagef("--closed-port %d: not a port", port)
		}
		opt.Closed = append(opt.Closed, uint16(port))
	}
	return a.serveJudge(ctx, f, cfg, judge.Handler(opt))
}

// readKey reads a key that is shared with the checker.
func readKey(path string) ([]byte, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	key := strings.TrimSpace(string(b))
	if len(key) < 16 {
		return nil, fmt.Errorf("%s: the key has %d bytes, at least 16 are needed", path, len(key))
	}
	return []byte(key), nil
}

// serveJudge binds all listeners or none.
func (a *app) serveJudge(ctx context.Context, f judgeFlags, cfg config.Config, h http.Handler) error {
	log := a.logger(cfg.Log, new(slog.LevelVar))
	var listeners []net.Listener
	closeAll := func() {
		for _, l := range listeners {
			l.Close()
		}
	}
	if f.listen != "" {
		l, err := net.Listen("tcp", f.listen)
		if err != nil {
			return err
		}
		listeners = append(listeners, l)
		a.note("judge on http://%s/", l.Addr())
	}
	if f.tlsListen != "" {
		pair, err := tls.LoadX509KeyPair(f.cert, f.key)
		if err != nil {
			closeAll()
			return err
		}
		l, err := net.Listen("tcp", f.tlsListen)
		if err != nil {
			closeAll()
			return err
		}
		listeners = append(listeners, tls.NewListener(l, &tls.Config{Certificates: []tls.Certificate{pair}, NextProtos: []string{"http/1.1"}}))
		a.note("judge on https://%s/", l.Addr())
	}
	srv := &http.Server{Handler: h, ReadHeaderTimeout: 10 * time.Second, ReadTimeout: 20 * time.Second, WriteTimeout: 20 * time.Second,
		IdleTimeout: 30 * time.Second, MaxHeaderBytes: 32 << 10, ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug)}
	return serveHTTP(ctx, srv, listeners...)
}

// serveHTTP serves until ctx ends, then lets running requests finish for up to 5 s.
func serveHTTP(ctx context.Context, srv *http.Server, listeners ...net.Listener) error {
	g, ctx := errgroup.WithContext(ctx)
	for _, l := range listeners {
		g.Go(func() error {
			if err := srv.Serve(l); !errors.Is(err, http.ErrServerClosed) {
				return err
			}
			return nil
		})
	}
	g.Go(func() error {
		<-ctx.Done()
		end, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()
		if srv.Shutdown(end) != nil {
			srv.Close()
		}
		return nil
	})
	return g.Wait()
}
