//go:build unix

package main

import (
	"context"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// heard collects what a service manager was told.
type heard struct {
	mu  sync.Mutex // protects all
	all []string
}

func (h *heard) say(state string) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.all = append(h.all, state)
	return nil
}

// beats is how many signs of life there were.
func (h *heard) beats() (n int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, s := range h.all {
		if strings.HasPrefix(s, "WATCHDOG=1\n") {
			n++
		}
	}
	return n
}

// TestNoSignOfLifeFromAStuckServer: the watchdog hears nothing while a lock is held
// that every request needs, nor while nothing accepts connections, though the
// kernel still takes them.
func TestNoSignOfLifeFromAStuckServer(t *testing.T) {
	t.Parallel()
	h := &heard{}
	r := serveUnder(t, nothingWorks, manager{h.say, time.Hour})
	const within = 200 * time.Millisecond
	eventually(t, "a sign of life", func() bool { r.beat(t.Context(), patienceForBeat); return h.beats() > 0 })
	n := h.beats()
	r.mu.Lock()
	r.beat(t.Context(), within)
	r.mu.Unlock()
	if h.beats() != n {
		t.Error("a sign of life, though a lock is held that requests need")
	}
	r.beat(t.Context(), patienceForBeat)
	if h.beats() != n+1 {
		t.Error("no sign of life afterwards")
	}
	if !strings.Contains(r.log.String(), "a part of the server does not answer") {
		t.Error("the log does not say why")
	}
}

// patienceForBeat is long enough on any machine.
const patienceForBeat = 30 * time.Second

// TestNoSignOfLifeWithoutAccept: a server that is open but does not run has
// listeners whose queues fill.
func TestNoSignOfLifeWithoutAccept(t *testing.T) {
	t.Parallel()
	r := serveFile(t, nothingWorks)
	idle := openIdle(t, r)
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if err := idle.serves(ctx); err == nil || !strings.Contains(err.Error(), "the gateway does not answer") {
		t.Errorf("serves = %v", err)
	}
}

// openIdle opens another server with the configuration of r, which does not run.
func openIdle(t *testing.T, r *running) *server {
	t.Helper()
	cfg := r.current()
	cfg.Store.Path += ".idle"
	s, err := openServer(t.Context(), cfg, serverOptions{log: r.server.log, control: r.opt.control})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.abandon(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
	})
	return s
}

// TestInheritedRoles: names first, then the order.
func TestInheritedRoles(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, files, want string }{
		{"nothing known", "a a a", "gateway admin tls"},
		{"names", "tls admin gateway", "tls admin gateway"},
		{"some names", "x admin y", "gateway admin tls"},
		{"listeners", "listener2 x", "listener2 gateway"},
		{"the same name twice", "admin admin", "admin gateway"},
		{"too many", "a b c d", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			in, err := assign(emptyFiles(t, strings.Fields(tt.files)))
			if (err != nil) != (tt.want == "") {
				t.Fatalf("assign = %v", err)
			}
			var got []string
			for _, role := range strings.Fields(tt.want) {
				if in.roles[role] != nil {
					got = append(got, role)
				}
			}
			if !slices.Equal(got, strings.Fields(tt.want)) || in != nil && len(in.roles) != len(got) {
				t.Errorf("assign(%s) = %v, want %s", tt.files, in, tt.want)
			}
			if err := in.close(); err != nil {
				t.Error(err)
			}
		})
	}
}

// emptyFiles opens files that carry these names.
func emptyFiles(t *testing.T, names []string) (out []*os.File) {
	t.Helper()
	for _, name := range names {
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		w.Close()
		fd, err := syscall.Dup(int(r.Fd()))
		if err != nil {
			t.Fatal(err)
		}
		r.Close()
		out = append(out, os.NewFile(uintptr(fd), name))
	}
	return out
}
