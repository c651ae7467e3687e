package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"

	"golang.org/x/sync/errgroup"
)

// openCompat binds the listeners of the drop-in APIs. It is the last to bind.
func (s *server) openCompat(context.Context) error {
	s.compat = map[string]net.Listener{}
	for name, listen := range s.cfg.Compat.Listeners() {
		l, err := net.Listen("tcp", listen)
		if err != nil {
			return fmt.Errorf("compat.%s: %w", name, err)
		}
		s.compat[name] = l
	}
	s.noteOwn()
	return nil
}

// serveCompat serves them until ctx ends.
func (s *server) serveCompat(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	for name, l := range s.compat {
		srv := s.api.Load().Server()
		srv.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			s.api.Load().Door(name, s.current().Compat).ServeHTTP(w, r)
		})
		g.Go(func() error { return serveHTTP(ctx, srv, l) })
	}
	return g.Wait()
}

// closeCompat closes what is still open of them.
func (s *server) closeCompat() error {
	var errs []error
	for _, l := range s.compat {
		if err := l.Close(); !errors.Is(err, net.ErrClosed) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}
