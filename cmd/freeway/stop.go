package main

import (
	"context"
	"net/netip"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"
)

// readinessGrace is how long a server in reach of others goes on after it has
// said that it is not ready, where gateway.drain_delay does not say otherwise.
const readinessGrace = time.Second

// prepareHurry makes hurry.
func (s *server) prepareHurry() {
	s.hurried = make(chan struct{})
	s.hurry = sync.OnceFunc(func() { close(s.hurried) })
}

// announceStop says everywhere that the server is not ready, and gives those who
// send traffic the time to notice.
func (s *server) announceStop() {
	s.stopping.Store(true)
	cfg := s.current().Gateway
	pause := cfg.DrainDelay
	if a, err := netip.ParseAddrPort(s.admin.Addr().String()); pause == 0 && err == nil && !a.Addr().IsLoopback() {
		pause = readinessGrace
	}
	connections, tunnels, requests := s.gateway.Counts()
	s.log.Info("stopping: running requests may finish", "pause", pause, "deadline", cfg.Drain,
		"connections", connections, "requests", requests-tunnels, "tunnels", tunnels)
	s.tellStopping(pause + cfg.Drain)
	s.gateway.Leave()
	select {
	case <-time.After(pause):
	case <-s.hurried:
	}
}

// hurryAtSecondSignal makes the stop go on at once when a signal asks for it
// again, until ctx ends. The first signal ends the context of run.
func (s *server) hurryAtSecondSignal(ctx context.Context) error {
	again := make(chan os.Signal, 2)
	signal.Notify(again, os.Interrupt, syscall.SIGTERM)
	defer signal.Stop(again)
	for n := 1; ; n++ {
		select {
		case <-ctx.Done():
			return nil
		case <-again:
			if n == 2 {
				s.log.Warn("stopping at once: what runs is cut")
				s.hurry()
				s.gateway.Hurry()
			}
		}
	}
}
