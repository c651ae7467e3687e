package certs_test

import (
	"context"
	"crypto/tls"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"freeway/internal/certs"
	"freeway/internal/loopback"
)

// acmeStand is an authority and the configuration that asks it.
func acmeStand(t *testing.T, hosts ...string) (*authority, certs.ACME) {
	t.Helper()
	srv := newAuthority(t, newCA(t))
	dir := t.TempDir()
	trust := filepath.Join(dir, "directory.pem")
	write(t, trust, srv.pem())
	return srv, certs.ACME{Hosts: hosts, Cache: filepath.Join(dir, "acme"), Directory: srv.URL + "/dir", CA: trust, Email: "ops@example.com", AcceptTerms: true}
}

// run runs a keeper until the returned function is called.
func run(t *testing.T, k *certs.Keeper) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- k.Run(ctx) }()
	var once atomic.Bool
	stop = func() {
		cancel()
		if once.CompareAndSwap(false, true) {
			must(t, <-done)
		}
	}
	t.Cleanup(stop)
	return stop
}

// eventually waits for something that another goroutine does.
func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	limit := time.Now().Add(20 * time.Second)
	for !is() {
		if time.Now().After(limit) {
			t.Fatalf("%s: never", what)
		}
		runtime.Gosched()
	}
}

func TestACME(t *testing.T) {
	t.Parallel()
	srv, conf := acmeStand(t, "proxy.example.com", "www.example.com")
	s := newStand(t, srv.ca, certs.Config{ACME: conf, Pairs: []certs.Pair{srv.ca.pair(leaf{serial: 50, names: []string{"localhost"}})}}, nil)
	srv.proof = func() string { return s.addr }
	stop := run(t, s.Keeper)
	eventually(t, "both certificates", func() bool {
		return s.metric("freeway_certificate_renewals_total", "acme:www.example.com", "gateway", "ok") == 1
	})
	for name, want := range map[string]int64{"proxy.example.com": 1, "www.example.com": 2, "localhost": 50} {
		if got := s.serial(name); got != want {
			t.Errorf("%s is served certificate %d, want %d", name, got, want)
		}
	}
	if got := s.serial("other.example.com"); got != -1 { // not in the list: nothing is asked for
		t.Errorf("a name that nobody configured is served certificate %d", got)
	}
	if got, want := srv.names(), conf.Hosts; !slices.Equal(got, want) {
		t.Errorf("the authority was asked for %v, want %v", got, want)
	}
	if _, err := s.dial(&tls.Config{ServerName: "proxy.example.com", NextProtos: []string{"acme-tls/1"}}); err == nil {
		t.Error("the protocol of the proof is spoken though nothing is being proved")
	}
	stop()
	files, err := os.ReadDir(conf.Cache)
	must(t, err)
	if len(files) != 3 {
		t.Errorf("the cache has %v, want the account and two hosts", files)
	}
	for _, f := range files {
		if info, err := f.Info(); err != nil || info.Mode().Perm() != 0o600 && runtime.GOOS != "windows" {
			t.Errorf("%s has mode %v, want 0600 (%v)", f.Name(), info.Mode(), err)
		}
	}

	again := newStand(t, srv.ca, certs.Config{ACME: conf}, nil) // a restart takes them from the cache
	run(t, again.Keeper)
	if got := again.serial("www.example.com"); got != 2 || len(srv.names()) != 2 {
		t.Errorf("after a restart: certificate %d and %d orders, want 2 and 2", got, len(srv.names()))
	}
}

// TestACMERenews: in the last third of its time a certificate is asked for
// again; while that fails the old one is served and the log says why.
func TestACMERenews(t *testing.T) {
	t.Parallel()
	srv, conf := acmeStand(t, "proxy.example.com")
	srv.leaf = leaf{from: -time.Minute, to: 90 * time.Hour}
	var later atomic.Int64
	now := func() time.Time { return time.Now().Add(time.Duration(later.Load())) }
	s := newStand(t, srv.ca, certs.Config{ACME: conf}, now)
	srv.proof = func() string { return s.addr }
	stop := run(t, s.Keeper)
	eventually(t, "the first certificate", func() bool { return s.serial("proxy.example.com") == 1 })
	stop()
	later.Store(int64(70 * time.Hour))
	srv.set(func() { srv.refuse = true })
	stop = run(t, s.Keeper)
	eventually(t, "a failure", func() bool { return s.metric("freeway_certificate_refused", "acme:proxy.example.com", "gateway") == 1 })
	stop()
	if s.log.count("not today") != 1 || s.serial("proxy.example.com") != 1 {
		t.Errorf("after a failure: %d words in the log, certificate %d; want 1 and 1", s.log.count("not today"), s.serial("proxy.example.com"))
	}
	srv.set(func() { srv.refuse = false })
	stop = run(t, s.Keeper) // too soon: authorities count failures
	must(t, s.Apply(certs.Config{ACME: conf}))
	stop()
	if got := len(srv.names()); got != 2 {
		t.Errorf("%d orders right after a failure, want 2", got)
	}
	later.Store(int64(71 * time.Hour))
	run(t, s.Keeper)
	eventually(t, "the renewal", func() bool { return s.serial("proxy.example.com") == 2 })
}

// TestACMEStaysOnThisMachine: the hook of the dialer has the last word, and
// the end does not wait for an authority that says nothing.
func TestACMEStaysOnThisMachine(t *testing.T) {
	t.Parallel()
	_, conf := acmeStand(t, "proxy.example.com")
	var asked atomic.Int64
	control := func(network, addr string, c syscall.RawConn) error {
		asked.Add(1)
		return errors.Join(loopback.Control(network, "192.0.2.1:443", c))
	}
	k, err := certs.Open(certs.Config{ACME: conf}, certs.Env{Control: control})
	must(t, err)
	stop := run(t, k)
	eventually(t, "a try", func() bool { return asked.Load() > 0 })
	stop()
}

func TestACMEValidate(t *testing.T) {
	t.Parallel()
	ok := certs.ACME{Hosts: []string{"a.example.com"}, Cache: "/x", AcceptTerms: true}
	for _, tt := range []struct {
		name   string
		change func(*certs.ACME)
		want   string
	}{
		{"good", func(*certs.ACME) {}, ""},
		{"off", func(a *certs.ACME) { *a = certs.ACME{} }, ""},
		{"wildcard", func(a *certs.ACME) { a.Hosts = []string{"*.example.com"} }, "hosts[0]: "},
		{"address", func(a *certs.ACME) { a.Hosts = []string{"a.example.com", "192.0.2.1"} }, "hosts[1]: "},
		{"upper case", func(a *certs.ACME) { a.Hosts = []string{"A.example.com"} }, "hosts[0]: "},
		{"path", func(a *certs.ACME) { a.Hosts = []string{"../../etc.x"} }, "hosts[0]: "},
		{"twice", func(a *certs.ACME) { a.Hosts = append(a.Hosts, a.Hosts[0]) }, "hosts[1]: "},
		{"no cache", func(a *certs.ACME) { a.Cache = "" }, "cache: "},
		{"plain directory", func(a *certs.ACME) { a.Directory = "http://x.test/dir" }, "directory: "},
		{"terms", func(a *certs.ACME) { a.AcceptTerms = false }, "accept_terms: "},
		{"cache without hosts", func(a *certs.ACME) { a.Hosts = nil }, "hosts: "},
	} {
		a := ok
		tt.change(&a)
		err := a.Validate()
		if (err == nil) != (tt.want == "") || err != nil && !strings.HasPrefix(err.Error(), tt.want) {
			t.Errorf("%s: Validate = %v, want %q", tt.name, err, tt.want)
		}
	}
}
