package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"syscall"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"

	"freeway/proxy"
)

// manager is the program that runs the server as a service: systemd, or what
// speaks sd_notify(3) like it. The zero value is none.
type manager struct {
	say   func(state string) error // nil: nobody listens
	every time.Duration            // within which it wants a sign of life; 0: it does not
}

// serviceManager finds out who runs this process, from the environment.
func serviceManager() (manager, error) {
	if os.Getenv("NOTIFY_SOCKET") == "" {
		return manager{}, nil
	}
	every, err := daemon.SdWatchdogEnabled(false)
	if err != nil {
		return manager{}, fmt.Errorf("watchdog: %w", err)
	}
	say := func(state string) error {
		_, err := daemon.SdNotify(false, state)
		return err
	}
	return manager{say, every}, nil
}

const (
	statusEvery = 30 * time.Second // between lines of status
	probeTime   = 5 * time.Second  // that a sign of life may take at most
	stopReserve = 15 * time.Second // for all that ends besides the gateway's drain
)

// tell sends a state. That nobody listens is no error for the server.
func (s *server) tell(state string) {
	if s.opt.manager.say == nil {
		return
	}
	if err := s.opt.manager.say(state); err != nil {
		s.log.Warn("the service manager does not listen", "err", err)
	}
}

// statusLine is what "systemctl status" shows.
func (s *server) statusLine() string {
	connections, tunnels, requests := s.gateway.Counts()
	word := "serving"
	if s.stopping.Load() {
		word = "stopping"
	}
	return fmt.Sprintf("STATUS=%s: %d proxies can be used, %d connections, %d requests, %d tunnels", word,
		s.pool.Eligible(proxy.Want{Pools: s.current().Gateway.Pools}), connections, requests-tunnels, tunnels)
}

// tellStopping also asks for the time that the drain may take.
func (s *server) tellStopping(within time.Duration) {
	s.tell(fmt.Sprintf("%s\nEXTEND_TIMEOUT_USEC=%d\n%s", daemon.SdNotifyStopping, (within + stopReserve).Microseconds(), s.statusLine()))
}

// tellReloading says that a reload begins. The function that it returns says that
// it is over, and what came of it.
func (s *server) tellReloading() (over func(error)) {
	s.tell(daemon.SdNotifyReloading + "\n" + daemon.SdNotifyMonotonicUsec() + "STATUS=reading the configuration")
	return func(err error) {
		state := daemon.SdNotifyReady + "\nSTATUS=the configuration was read"
		if err != nil {
			state = daemon.SdNotifyReady + "\nSTATUS=the configuration is bad, the one before stays: " + oneLine(err)
		}
		s.tell(state)
	}
}

// keepTelling says that the server is ready, and then how it is, until ctx ends.
// With a watchdog it says so twice as often as is asked for, and only when the
// server could just be proved to serve.
func (s *server) keepTelling(ctx context.Context) error {
	m := s.opt.manager
	if m.say == nil {
		return nil
	}
	s.tell(daemon.SdNotifyReady + "\n" + s.statusLine())
	every := statusEvery
	if m.every > 0 {
		every = min(every, m.every/2)
	}
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			s.beat(ctx, every)
		}
	}
}

// beat gives one sign of life, and says how the server is.
func (s *server) beat(ctx context.Context, every time.Duration) {
	ctx, cancel := context.WithTimeout(ctx, min(every, probeTime))
	defer cancel()
	err := s.serves(ctx)
	switch {
	case s.opt.manager.every == 0 && err == nil:
		s.tell(s.statusLine())
	case err == nil:
		s.tell(daemon.SdNotifyWatchdog + "\n" + s.statusLine())
	case ctx.Err() == nil || errors.Is(ctx.Err(), context.DeadlineExceeded):
		s.log.Error("no sign of life", "err", err)
	}
}

// serves proves that the process can serve: the parts that every request needs
// answer, and the gateway takes a connection and lets go of it. While it stops,
// the first is enough. What the machine lacks (descriptors, ports, memory) is
// not held against the process: a restart would not bring it.
func (s *server) serves(ctx context.Context) error {
	answered := make(chan struct{})
	go func() { // it ends with the locks that it waits for, or the service manager ends the process
		defer close(answered)
		s.pool.Eligible(proxy.Want{})
		s.current()
		s.gateway.Counts()
	}()
	select {
	case <-answered:
	case <-ctx.Done():
		return errors.New("a part of the server does not answer")
	}
	if s.stopping.Load() {
		return nil
	}
	err := s.knock(ctx)
	for _, lack := range []error{syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.ENOMEM, syscall.EADDRNOTAVAIL} {
		if errors.Is(err, lack) {
			return nil
		}
	}
	return err
}

// knock connects to the gateway, says nothing and waits for it to hang up.
func (s *server) knock(ctx context.Context) error {
	d := net.Dialer{Control: s.opt.control}
	conn, err := d.DialContext(ctx, "tcp", fromHere(s.gateway.Addr()))
	if err != nil {
		return fmt.Errorf("the gateway takes no connection: %w", err)
	}
	defer conn.Close()
	until, _ := ctx.Deadline()
	if err := conn.SetDeadline(until); err != nil {
		return err
	}
	if c, ok := conn.(*net.TCPConn); ok {
		err = c.CloseWrite()
	}
	if _, rerr := io.CopyN(io.Discard, conn, 1<<16); rerr != nil && !errors.Is(rerr, io.EOF) && !errors.Is(rerr, syscall.ECONNRESET) {
		return fmt.Errorf("the gateway does not answer: %w", rerr)
	}
	return err
}

// fromHere is an address under which a listener on this machine can be reached.
func fromHere(a net.Addr) string {
	ap, err := netip.ParseAddrPort(a.String())
	if err != nil || !ap.Addr().IsUnspecified() {
		return a.String()
	}
	if ap.Addr().Is4() {
		return netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), ap.Port()).String()
	}
	return netip.AddrPortFrom(netip.IPv6Loopback(), ap.Port()).String()
}
