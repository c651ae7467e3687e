package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/coreos/go-systemd/v22/activation"

	"freeway/config"
)

// inherited are listening sockets that the service manager opened
// (sd_listen_fds(3)). They take the place of addresses of the configuration,
// and stay open as long as the process lives. nil: none.
type inherited struct {
	roles map[string]*os.File // by rolesOf
}

// roleOrder is what sockets are for whose names say nothing.
var roleOrder = []string{"gateway", "admin", "tls"}

// inheritSockets takes over what the service manager has opened.
func inheritSockets() (*inherited, error) { return assign(activation.Files(true)) }

// assign gives every socket a role: that of its name (gateway, admin, tls,
// listener1 for the first of gateway.listeners), else the next that is free.
func assign(files []*os.File) (*inherited, error) {
	if len(files) == 0 {
		return nil, nil
	}
	in := &inherited{roles: map[string]*os.File{}}
	var rest []*os.File
	for _, f := range files {
		if name := f.Name(); in.roles[name] == nil && isRole(name) {
			in.roles[name] = f
		} else {
			rest = append(rest, f)
		}
	}
	free := slices.DeleteFunc(slices.Clone(roleOrder), func(r string) bool { return in.roles[r] != nil })
	for i, f := range rest {
		if i >= len(free) {
			return nil, errors.Join(fmt.Errorf("inherited socket %q: nothing is left to listen on it; names are gateway, admin, tls and listener1, listener2 and so on", f.Name()), in.close())
		}
		in.roles[free[i]] = f
	}
	return in, nil
}

// isRole reports whether a socket's name says what it is for.
func isRole(name string) bool {
	return slices.Contains(roleOrder, name) || listenerIndex(name) >= 0
}

// listenerIndex is which of gateway.listeners a role means, -1 for none.
func listenerIndex(role string) int {
	n, err := strconv.Atoi(strings.TrimPrefix(role, "listener"))
	if err != nil || n < 1 || !strings.HasPrefix(role, "listener") {
		return -1
	}
	return n - 1
}

// override puts the addresses of the sockets in place of those of the
// configuration, and checks the result: a socket that others reach needs users.
func (in *inherited) override(cfg config.Config) (config.Config, error) {
	if in == nil {
		return cfg, nil
	}
	cfg.Gateway.Listeners = slices.Clone(cfg.Gateway.Listeners)
	for role := range in.roles {
		addr, err := in.addr(role)
		if err != nil {
			return cfg, err
		}
		switch i := listenerIndex(role); {
		case role == "gateway":
			cfg.Gateway.Listen = addr
		case role == "admin":
			cfg.Admin.Listen = addr
		case role == "tls":
			cfg.Gateway.TLS.Listen = addr
		case i >= len(cfg.Gateway.Listeners):
			return cfg, fmt.Errorf("inherited socket %q: gateway.listeners has only %d", role, len(cfg.Gateway.Listeners))
		default:
			cfg.Gateway.Listeners[i].Listen = addr
		}
	}
	return cfg, cfg.Validate()
}

// addr is where the socket of a role listens.
func (in *inherited) addr(role string) (string, error) {
	l, err := net.FileListener(in.roles[role])
	if err != nil {
		return "", fmt.Errorf("inherited socket %q: %w", role, err)
	}
	defer l.Close()
	if _, ok := l.(*net.TCPListener); !ok {
		return "", fmt.Errorf("inherited socket %q: %s is no TCP socket", role, l.Addr().Network())
	}
	return l.Addr().String(), nil
}

// shared is a listener on a socket whose queue another process keeps.
type shared struct{ net.Listener }

// listen returns another listener on the socket for an address, nil when there
// is none. Closing it leaves the socket open.
func (in *inherited) listen(addr string) (net.Listener, error) {
	if in == nil {
		return nil, nil
	}
	for role, f := range in.roles {
		if at, err := in.addr(role); err != nil || at != addr {
			continue
		}
		l, err := net.FileListener(f)
		if err != nil {
			return nil, err
		}
		return shared{l}, nil
	}
	return nil, nil
}

// close lets go of the sockets.
func (in *inherited) close() error {
	if in == nil {
		return nil
	}
	var errs []error
	for _, f := range in.roles {
		if err := f.Close(); !errors.Is(err, os.ErrClosed) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}
