package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"

	"freeway/api"
	"freeway/config"
	"freeway/gateway"
)

// door is a listener of HTTP that can move to another address while it serves:
// connections that are open stay.
type door struct {
	mu    sync.Mutex // protects the fields below
	addr  string     // as configured
	l     net.Listener
	start func(net.Listener)              // serves one more; nil: nothing serves
	wrap  func(net.Listener) net.Listener // what is served in place of a listener; nil: itself
}

// Addr returns where it listens, nil when it is shut.
func (d *door) Addr() net.Addr {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.l == nil {
		return nil
	}
	return d.l.Addr()
}

// at returns the address as configured, "" when the door is shut.
func (d *door) at() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.addr
}

// move makes l the listener, which listens at addr; nil and "" shut the door.
func (d *door) move(addr string, l net.Listener) {
	d.mu.Lock()
	defer d.mu.Unlock()
	old := d.l
	d.addr, d.l = addr, l
	if d.start != nil && l != nil {
		d.start(l)
	}
	if old != nil {
		_ = old.Close()
	}
}

// serve serves until ctx ends.
func (d *door) serve(ctx context.Context, srv *http.Server) error {
	g, ctx := errgroup.WithContext(ctx)
	d.mu.Lock()
	d.start = func(l net.Listener) {
		if d.wrap != nil {
			l = d.wrap(l)
		}
		g.Go(func() error {
			if err := srv.Serve(l); !errors.Is(err, http.ErrServerClosed) && !errors.Is(err, net.ErrClosed) {
				return err
			}
			return nil
		})
	}
	if d.l != nil {
		d.start(d.l)
	}
	d.mu.Unlock()
	g.Go(func() error {
		<-ctx.Done()
		d.mu.Lock()
		d.start = nil
		d.mu.Unlock()
		end, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()
		if srv.Shutdown(end) != nil {
			srv.Close()
		}
		return nil
	})
	return g.Wait()
}

// close may be called more than once.
func (d *door) close() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.l == nil {
		return nil
	}
	if err := d.l.Close(); !errors.Is(err, net.ErrClosed) {
		return err
	}
	return nil
}

// listen opens an address: the socket that was inherited for it, else one of our own.
func (s *server) listen(addr string) (net.Listener, error) {
	if l, err := s.opt.sockets.listen(addr); l != nil || err != nil {
		return l, err
	}
	return gateway.Listen(addr)
}

// doorsOf names all doors, with their addresses; "" for one that stays shut.
func doorsOf(c config.Config) map[string]string {
	out := map[string]string{"admin": c.Admin.Listen}
	for _, name := range api.CompatNames() {
		out[compatDoor+name] = c.Compat.Listeners()[name]
	}
	return out
}

// compatDoor begins the names of the doors of drop-in APIs.
const compatDoor = "compat."

// applyDoors opens, moves and shuts the doors as the configuration says. With an
// error all stays as it was.
func (s *server) applyDoors(c config.Config) error {
	want := doorsOf(c)
	opened := map[string]net.Listener{}
	for _, name := range slices.Sorted(maps.Keys(want)) {
		if want[name] == "" || want[name] == s.doors[name].at() {
			continue
		}
		l, err := s.openDoor(s.doors[name], want[name])
		if err != nil {
			for _, l := range opened {
				_ = l.Close()
			}
			return fmt.Errorf("%s: %w", name, err)
		}
		opened[name] = l
	}
	for name, addr := range want {
		if addr != s.doors[name].at() {
			s.doors[name].move(addr, opened[name])
		}
	}
	s.noteOwn()
	return nil
}

// openDoor binds an address. Where the door itself is in the way it goes first.
func (s *server) openDoor(d *door, addr string) (net.Listener, error) {
	l, err := s.listen(addr)
	before := d.at()
	if before == "" || !errors.Is(err, syscall.EADDRINUSE) || portOf(before) != portOf(addr) {
		return l, err
	}
	_ = d.close()
	if l, err = s.listen(addr); err == nil {
		return l, nil
	}
	again, lost := s.listen(before)
	if lost != nil {
		return nil, errors.Join(err, lost)
	}
	d.move(before, again)
	return nil, err
}

// portOf is what stands behind the last colon.
func portOf(addr string) string { return addr[strings.LastIndexByte(addr, ':')+1:] }

// serveDoors serves the admin API and the drop-in APIs until ctx ends.
func (s *server) serveDoors(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	for name, d := range s.doors {
		srv := s.api.Load().Server()
		srv.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { s.behind(name).ServeHTTP(w, r) })
		g.Go(func() error { return d.serve(ctx, s.crowd.guard(srv)) })
	}
	return g.Wait()
}

// behind is what a door leads to now.
func (s *server) behind(door string) http.Handler {
	name, compat := strings.CutPrefix(door, compatDoor)
	switch {
	case !compat:
		return s.api.Load().Handler()
	case s.doors[door].at() == "": // it was shut behind a connection that is still open
		return http.NotFoundHandler()
	}
	return s.api.Load().Door(name, s.current().Compat)
}

// closeDoors closes what is still open.
func (s *server) closeDoors() error {
	var errs []error
	for _, d := range s.doors {
		errs = append(errs, d.close())
	}
	return errors.Join(errs...)
}

// prepareDoors makes all doors, shut.
func (s *server) prepareDoors() {
	s.doors = map[string]*door{}
	for name := range doorsOf(config.Default()) {
		s.doors[name] = &door{}
	}
	s.admin = s.doors["admin"]
	s.admin.wrap = s.insideTLS
}

// openDoors binds them. They are the last to bind.
func (s *server) openDoors(context.Context) error { return s.applyDoors(s.cfg) }
